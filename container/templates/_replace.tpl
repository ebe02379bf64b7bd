{{/*
What Kustomize does with the replacements of values/kustomization.yaml, as far as that file uses them.
A template returns text only, so both change the object that they are given.

deskd.replace puts `value` where `path` (a list of names) leads to in `node`, a map. A name is that of
a field, a position in a list, or `[name=x]`: the element of a list that has this name. What is not
there is an error, as with Kustomize.
*/}}
{{- define "deskd.replace" -}}
  {{- $name := first .path -}}
  {{- if not (hasKey .node $name) -}}
    {{- fail (printf "%s has no field %s; mend values/kustomization.yaml" .place $name) -}}
  {{- end -}}
  {{- $rest := rest .path -}}
  {{- $child := index .node $name -}}
  {{- if not $rest -}}
    {{- $_ := set .node $name (include "deskd.value" (dict "old" $child "value" .value "options" .options) | fromJson | dig "value" "") -}}
  {{- else if kindIs "map" $child -}}
    {{- template "deskd.replace" (merge (dict "node" $child "path" $rest) (omit . "node" "path")) -}}
  {{- else if not (rest $rest) -}}
    {{- $items := list -}}
    {{- range $index, $item := $child -}}
      {{- $items = append $items (ternary $.value $item (eq (toString $index) (first $rest))) -}}
    {{- end -}}
    {{- $_ := set .node $name $items -}}
  {{- else -}}
    {{- $there := false -}}
    {{- range $index, $item := $child -}}
      {{- if or (eq (toString $index) (first $rest)) (eq (printf "[name=%s]" (dig "name" "" $item)) (first $rest)) -}}
        {{- $there = true -}}
        {{- template "deskd.replace" (merge (dict "node" $item "path" (rest $rest)) (omit $ "node" "path")) -}}
      {{- end -}}
    {{- end -}}
    {{- if not $there -}}
      {{- fail (printf "%s has no %s in %s; mend values/kustomization.yaml" .place (first $rest) $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{/*
deskd.value is `value` in the type of `old`, or `old` with the piece `index` of it replaced, as JSON.
Numbers come as floats, and a user of OpenShift has one that would be written with an exponent.
*/}}
{{- define "deskd.value" -}}
  {{- $value := .value -}}
  {{- if kindIs "float64" $value -}}{{- $value = int64 $value -}}{{- end -}}
  {{- if .options -}}
    {{- $pieces := list -}}
    {{- range $index, $piece := splitList .options.delimiter .old -}}
      {{- $pieces = append $pieces (ternary (toString $value) $piece (eq $index (int $.options.index))) -}}
    {{- end -}}
    {{- $value = join .options.delimiter $pieces -}}
  {{- else if kindIs "string" .old -}}
    {{- $value = toString $value -}}
  {{- end -}}
  {{- dict "value" $value | toJson -}}
{{- end -}}
