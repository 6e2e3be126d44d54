//! Request bodies that can be sent again, and response bodies that report how they ended.

mod in_flight;
mod replay;
mod response;
mod saved_head;

pub use self::in_flight::InFlight;
pub use self::replay::{DEFAULT_REPLAY_LIMIT, Replay, ReplayBody};
pub use self::response::ResponseBody;
pub(crate) use self::saved_head::SavedHead;
