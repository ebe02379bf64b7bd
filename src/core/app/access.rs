//! Access lists (`oc.acl`): who may see and launch an application. Deny wins.

use serde::{Deserialize, Serialize};

use crate::text;
use crate::text::Text;

/// Who uses this desktop, as far as access lists can ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Identity {
    /// The user's name.
    pub user: Option<String>,
    /// Groups and other tags of the user.
    pub groups: Vec<String>,
}

/// `{"permit": ["all"], "deny": ["interns"]}`. Absent: everybody is permitted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccessList {
    /// Names of users or groups, or `all`. Absent: `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<Vec<String>>,
    /// Names of users or groups, or `all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// The name that stands for everybody.
const ALL: &str = "all";

impl AccessList {
    /// Whether `identity` may see and launch the application; deny wins.
    ///
    /// # Errors
    /// Why not, as the end of a sentence that begins with the application.
    pub fn permits(&self, identity: &Identity) -> Result<(), Text> {
        let who = identity.user.as_deref().map_or_else(
            || text!("the user of this desktop (no name is configured: set `user.name`)"),
            |user| text!("user {user}", user),
        );
        let named = |names: &[String]| names.iter().find(|name| identity.is(name)).cloned();
        if let Some(name) = named(&self.deny) {
            return Err(text!("has an access list that denies `{name}`, and so {who}", name, who));
        }
        match &self.permit {
            None => Ok(()),
            Some(names) if named(names).is_some() => Ok(()),
            Some(names) if names.is_empty() => Err(text!("has an access list that permits nobody")),
            Some(names) => Err(text!(
                "has an access list that permits only {names}, and {who} is not among them",
                who,
                names = names.join(", ")
            )),
        }
    }
}

impl Identity {
    /// Whether `name` names this user, one of the user's groups, or everybody.
    fn is(&self, name: &str) -> bool {
        name == ALL
            || self.user.as_deref() == Some(name)
            || self.groups.iter().any(|group| group == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(permit: Option<&[&str]>, deny: &[&str]) -> AccessList {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        AccessList { permit: permit.map(owned), deny: owned(deny) }
    }

    fn anna() -> Identity {
        Identity { user: Some("anna".into()), groups: vec!["staff".into(), "it".into()] }
    }

    #[test]
    fn names_groups_and_all_are_permitted_and_deny_wins() {
        type Names<'a> = &'a [&'a str];
        let table: [(Option<Names<'_>>, Names<'_>, bool); 11] = [
            (None, &[], true),
            (Some(&["all"]), &[], true),
            (Some(&["anna"]), &[], true),
            (Some(&["students", "staff"]), &[], true),
            (Some(&["bob"]), &[], false),
            (Some(&[]), &[], false),
            (Some(&["All"]), &[], false),
            (None, &["bob"], true),
            (None, &["it"], false),
            (Some(&["all", "anna"]), &["staff"], false),
            (Some(&["anna"]), &["all"], false),
        ];
        for (permit, deny, expect) in table {
            let list = list(permit, deny);
            assert_eq!(list.permits(&anna()).is_ok(), expect, "{list:?}");
        }
    }

    #[test]
    fn a_refusal_says_who_is_refused_and_why() {
        let denied = list(None, &["it"]).permits(&anna()).unwrap_err();
        assert!(denied.contains("`it`") && denied.contains("anna"), "{denied}");
        let missing = list(Some(&["bob", "eve"]), &[]).permits(&anna()).unwrap_err();
        assert!(missing.contains("bob, eve") && missing.contains("anna"), "{missing}");
        let nameless = list(Some(&["bob"]), &[]).permits(&Identity::default()).unwrap_err();
        assert!(nameless.contains("user.name"), "{nameless}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn whoever_is_denied_is_never_permitted(
            permit in prop::option::of(prop::collection::vec("all|anna|staff|bob", 0..4)),
            deny in prop::collection::vec("all|anna|staff", 1..4),
        ) {
            let list = AccessList { permit, deny };
            prop_assert!(list.permits(&anna()).is_err());
        }
    }
}
