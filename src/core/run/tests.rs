//! Steps of whole stories.
