//! What deskd may do: asked of the API server (SelfSubjectAccessReview) at the start, every few
//! minutes, and when something was forbidden. A missing right disables what needs it, with a
//! sentence; never deskd.

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, ApiError, Ask};
use super::calls::Verb;
use super::identity::Own;
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::{Quota, Right};
use deskd_core::text;
use deskd_core::text::Text;

/// One call that deskd may want to make.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    engine: Option<EngineKind>,
    verb: &'static str,
    /// With its subresource: `pods/log`.
    resource: &'static str,
    /// Empty: of the whole cluster.
    namespace: String,
    /// One object alone.
    name: Option<String>,
    /// What does not work without it.
    loss: Text,
}

/// Everything that the engines need, each with what is lost without it.
fn needs(own: &Own, engines: &[EngineKind]) -> Vec<Need> {
    let ephemeral = EngineKind::EphemeralContainer;
    let pod = EngineKind::PodApplication;
    let lost_states = || text!("deskd would not see what becomes of applications");
    let in_own = |verb, resource, loss| Need {
        engine: Some(ephemeral),
        verb,
        resource,
        namespace: own.namespace.clone(),
        name: Some(own.name.clone()),
        loss,
    };
    let in_apps = |engine, verb, resource, loss| Need {
        engine,
        verb,
        resource,
        namespace: own.apps_namespace.clone(),
        name: None,
        loss,
    };
    let all = [
        in_own("list", "pods", lost_states()),
        in_own("watch", "pods", lost_states()),
        in_own(
            "patch",
            "pods/ephemeralcontainers",
            text!("applications cannot be started in this pod"),
        ),
        in_own("get", "pods/log", text!("the output of applications in this pod cannot be kept")),
        in_apps(Some(pod), "list", "pods", lost_states()),
        in_apps(Some(pod), "watch", "pods", lost_states()),
        in_apps(
            Some(pod),
            "get",
            "pods",
            text!("a pod whose creation was not answered is not recognised"),
        ),
        in_apps(Some(pod), "create", "pods", text!("applications cannot get pods of their own")),
        in_apps(Some(pod), "delete", "pods", text!("applications in pods could not be stopped")),
        in_apps(
            Some(pod),
            "get",
            "pods/log",
            text!("the output of applications in pods cannot be kept"),
        ),
        in_apps(
            None,
            "list",
            "resourcequotas",
            text!("a launch is not refused before a quota does it"),
        ),
        in_apps(None, "list", "events", text!("why a pod is not ready is explained less exactly")),
        Need {
            engine: None,
            verb: "list",
            resource: "nodes",
            namespace: String::new(),
            name: None,
            loss: text!("images are pulled on one node instead of all"),
        },
    ];
    let used = |need: &Need| need.engine.is_none_or(|engine| engines.contains(&engine));
    all.into_iter().filter(used).collect()
}

#[derive(Deserialize)]
struct Review {
    status: ReviewStatus,
}

#[derive(Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    allowed: bool,
}

/// Asks for all of them.
pub async fn ask(api: &Api, own: &Own, engines: &[EngineKind]) -> Result<Vec<Right>, ApiError> {
    let mut rights = Vec::new();
    for need in needs(own, engines) {
        let ask = Ask {
            verb: Verb::Create,
            resource: "selfsubjectaccessreviews",
            path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".into(),
            body: Some(review(&need)),
        };
        let answer: Review = api.json(ask).await?;
        rights.push(right(need, answer.status.allowed));
    }
    Ok(rights)
}

fn review(need: &Need) -> Value {
    let (resource, subresource) = need.resource.split_once('/').unwrap_or((need.resource, ""));
    let mut attributes = json!({ "verb": need.verb, "group": "", "resource": resource });
    if !subresource.is_empty() {
        attributes["subresource"] = json!(subresource);
    }
    if !need.namespace.is_empty() {
        attributes["namespace"] = json!(need.namespace);
    }
    if let Some(name) = &need.name {
        attributes["name"] = json!(name);
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    })
}

fn right(need: Need, allowed: bool) -> Right {
    let Need { engine, verb, resource, namespace, loss, .. } = need;
    let file = Right::manifest(&namespace);
    let place = match namespace.as_str() {
        "" => text!("of the cluster"),
        name => text!("in the namespace {name}", name),
    };
    let sentence = match allowed {
        true => Text::default(),
        false => text!(
            "{loss}: deskd may not {verb} {resource} {place}; grant it as {file} does",
            loss,
            verb,
            resource,
            place,
            file
        ),
    };
    Right {
        engine,
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        namespace,
        allowed,
        sentence,
    }
}

/// Whether a right is there.
#[must_use]
pub fn has(rights: &[Right], verb: &str, resource: &str) -> bool {
    rights.iter().any(|right| right.allowed && right.verb == verb && right.resource == resource)
}

#[derive(Deserialize)]
struct Quotas {
    items: Vec<QuotaObject>,
}

#[derive(Deserialize)]
struct QuotaObject {
    metadata: super::objects::Meta,
    #[serde(default)]
    status: QuotaStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QuotaStatus {
    hard: std::collections::BTreeMap<String, String>,
    used: std::collections::BTreeMap<String, String>,
}

/// The quotas of the namespace of application pods.
pub async fn quotas(api: &Api, own: &Own) -> Result<Vec<Quota>, ApiError> {
    let namespace = &own.apps_namespace;
    let path = format!("/api/v1/namespaces/{namespace}/resourcequotas");
    let ask = Ask { verb: Verb::List, resource: "resourcequotas", path, body: None };
    let list: Quotas = api.json(ask).await?;
    let rows = list.items.into_iter().flat_map(|QuotaObject { metadata, mut status }| {
        status.hard.into_iter().map(move |(resource, hard)| Quota {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            used: status.used.remove(&resource).unwrap_or_else(|| "0".to_owned()),
            resource,
            hard,
        })
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        Own {
            name: "anna".into(),
            namespace: "desktops".into(),
            uid: "u".into(),
            apps_namespace: "apps".into(),
        }
    }

    #[test]
    fn only_what_is_configured_is_asked_for() {
        let needs = needs(&own(), &[EngineKind::EphemeralContainer]);
        assert!(needs.iter().all(|need| need.engine != Some(EngineKind::PodApplication)));
        assert!(needs.iter().any(|need| need.resource == "pods/ephemeralcontainers"));
    }

    #[test]
    fn a_missing_right_says_what_is_lost_where_and_the_remedy() {
        let both = [EngineKind::EphemeralContainer, EngineKind::PodApplication];
        for need in needs(&own(), &both) {
            let place =
                if need.namespace.is_empty() { "cluster".into() } else { need.namespace.clone() };
            let right = right(need, false);
            for word in [&right.verb, &right.resource, &place] {
                assert!(right.sentence.contains(word.as_str()), "{}", right.sentence);
            }
            assert!(
                right.sentence.contains(Right::manifest(&right.namespace)),
                "{}",
                right.sentence
            );
        }
    }

    #[test]
    fn the_question_names_the_subresource_and_the_own_pod() {
        let need = needs(&own(), &[EngineKind::EphemeralContainer]).remove(2);
        let attributes = &review(&need)["spec"]["resourceAttributes"];
        assert_eq!(attributes["subresource"], "ephemeralcontainers");
        assert_eq!(attributes["name"], "anna");
    }
}
