//! What the engine reads of a pod and what the planner makes of it, together.

mod abcdesktop;
