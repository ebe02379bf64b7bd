//! Facts for a plan: what the driver knows, and the few things that are looked up for it.

use super::driver::Driver;
use super::handle::LaunchError;
use crate::domain::id::AppId;
use crate::domain::plan::facts::{Facts, Headroom, ProgramPresence};
use crate::domain::plan::{LaunchSpec, Plan, plan};

impl Driver {
    /// The plan for `app` as things are now.
    pub(super) fn plan(&self, app: &AppId, spec: &LaunchSpec) -> Result<Plan, LaunchError> {
        let app = self.apps.get(app).ok_or_else(|| LaunchError::UnknownApp(app.clone()))?;
        let facts = Facts {
            display: self.display.clone(),
            inherited_env: self.settings.inherited_env.clone(),
            xauthority: self.settings.xauthority.clone(),
            cookie: None,
            home: self.settings.home.clone(),
            program: ProgramPresence::Unknown,
            headroom: Headroom::default(),
            kubernetes: std::sync::Arc::default(),
            policy: self.settings.policy.clone(),
            remote_tasks: 0,
            unique_keys: std::collections::BTreeMap::new(),
        };
        Ok(plan(app, spec, &facts)?)
    }
}
