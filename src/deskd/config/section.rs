//! One table of the file, read key by key with types; every complaint lands in one list with its
//! key path and position, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Position, Problem, did_you_mean};
use super::values::Complaint;

/// Collects problems of one text.
#[derive(Debug)]
pub struct Collector<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Collector<'t> {
    /// For `text`.
    pub fn new(text: &'t str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    /// Adds a problem of the file.
    pub fn file(&self, span: Range<usize>, key: &str, complaint: Complaint) {
        let origin = Origin::File(Position::of(self.text, span.start));
        self.add(origin, key, complaint);
    }

    /// Adds a problem of an environment variable.
    pub fn env(&self, name: &str, key: &str, complaint: Complaint) {
        self.add(Origin::Env(name.to_owned()), key, complaint);
    }

    fn add(&self, origin: Origin, key: &str, Complaint { what, remedy }: Complaint) {
        self.problems.borrow_mut().push(Problem { origin, key: key.to_owned(), what, remedy });
    }

    /// All problems in the order of the file, the environment last.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        problems
    }
}

/// A value with the place it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

type Value<'t> = Spanned<DeValue<'t>>;

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Section<'t> {
    path: &'t str,
    table: Option<&'t DeTable<'t>>,
    known: &'static [&'static str],
    problems: &'t Collector<'t>,
}

impl<'t> Section<'t> {
    /// The table at `path` (absent: all its keys are), complaining about keys not in `known`.
    pub fn new(
        path: &'t str,
        table: Option<&'t DeTable<'t>>,
        known: &'static [&'static str],
        problems: &'t Collector<'t>,
    ) -> Self {
        let section = Self { path, table, known, problems };
        for (key, _) in table.into_iter().flat_map(|table| table.iter()) {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let remedy = match did_you_mean(name, known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("remove it; the known keys here are {}", known.join(", ")),
            };
            problems.file(
                key.span(),
                &section.key(name),
                Complaint::new("is not a known key", remedy),
            );
        }
        section
    }

    /// The full path of `name`.
    pub fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Adds a complaint about `name`.
    pub fn complain(&self, name: &str, span: Range<usize>, complaint: Complaint) {
        self.problems.file(span, &self.key(name), complaint);
    }

    fn get(&self, name: &str) -> Option<&'t Value<'t>> {
        debug_assert!(self.known.contains(&name), "{name} is missing in config::keys");
        self.table?.get(name)
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        example: &str,
        read: impl Fn(&'t DeValue<'t>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.get(name)?;
        let span = value.span();
        let found = read(value.get_ref());
        if found.is_none() {
            self.complain(name, span.clone(), wrong_type(wanted, value.get_ref(), example));
        }
        Some(At { value: found?, span })
    }

    /// A string.
    pub fn string(&self, name: &str, example: &str) -> Option<At<&'t str>> {
        self.typed(name, "a string", &format!("write {example:?}"), DeValue::as_str)
    }

    /// A string with a meaning.
    pub fn parsed<T>(
        &self,
        name: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Option<At<T>> {
        let At { value, span } = self.string(name, example)?;
        let parsed = parse(value).map_err(|complaint| self.complain(name, span.clone(), complaint));
        Some(At { value: parsed.ok()?, span })
    }

    /// `true` or `false`.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        let read = DeValue::as_bool;
        Some(self.typed(name, "true or false", "write true or false, without quotes", read)?.value)
    }

    /// A whole number within `range`.
    pub fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Option<At<i64>> {
        let example = format!("write a number from {} to {}", range.start(), range.end());
        let At { value: number, span } =
            self.typed(name, "a whole number", &example, DeValue::as_integer)?;
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
        match number.filter(|number| range.contains(number)) {
            Some(value) => Some(At { value, span }),
            None => {
                self.complain(name, span, Complaint::new("is out of range", example));
                None
            }
        }
    }

    /// The value itself, for keys with more than one form.
    pub fn raw(&self, name: &str) -> Option<At<&'t DeValue<'t>>> {
        let value = self.get(name)?;
        Some(At { value: value.get_ref(), span: value.span() })
    }

    /// A list of strings; `remedy` answers anything else.
    pub fn strings(&self, name: &str, remedy: &str) -> Option<At<Vec<At<&'t str>>>> {
        let At { value, span } =
            self.typed(name, "a list of strings", remedy, DeValue::as_array)?;
        let mut items = Vec::new();
        for (index, item) in value.iter().enumerate() {
            match item.get_ref().as_str() {
                Some(text) => items.push(At { value: text, span: item.span() }),
                None => {
                    let complaint = wrong_type("a string", item.get_ref(), "put it in quotes");
                    self.complain(&format!("{name}[{index}]"), item.span(), complaint);
                }
            }
        }
        Some(At { value: items, span })
    }

    /// A table below this one.
    pub fn table(&self, name: &str) -> Option<&'t DeTable<'t>> {
        let remedy = format!("write a section [{}] or {{ key = value }}", self.key(name));
        Some(self.typed(name, "a table", &remedy, DeValue::as_table)?.value)
    }

    /// A table of strings with free keys.
    pub fn string_map(&self, name: &str) -> BTreeMap<&'t str, At<&'t str>> {
        let mut map = BTreeMap::new();
        for (key, value) in self.table(name).into_iter().flat_map(|table| table.iter()) {
            match value.get_ref().as_str() {
                Some(text) => {
                    map.insert(key.get_ref().as_ref(), At { value: text, span: value.span() });
                }
                None => {
                    let complaint = wrong_type("a string", value.get_ref(), "put it in quotes");
                    self.complain(&format!("{name}.{}", key.get_ref()), value.span(), complaint);
                }
            }
        }
        map
    }

    /// Where complaints go.
    pub fn problems(&self) -> &'t Collector<'t> {
        self.problems
    }
}

fn wrong_type(wanted: &str, found: &DeValue<'_>, remedy: &str) -> Complaint {
    let found = match found.type_str() {
        "integer" => "a whole number",
        "string" => "a string",
        "float" => "a number with a fraction",
        "boolean" => "true or false",
        "datetime" => "a date",
        "array" => "a list",
        _ => "a table",
    };
    Complaint::new(format!("must be {wanted}, not {found}"), remedy)
}
