//! Access lists (`oc.acl`): who may see and launch an application. Deny wins.

use serde::{Deserialize, Serialize};

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
