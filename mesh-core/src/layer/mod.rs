//! The layers of the stack, one file each.
//!
//! Each is a tower `Layer` and `Service` that can be used alone over any client of `http` requests, with settings of its
//! own. Within the stack ([`crate::stack`]) the same service sees a [`Call`], which carries the settings of its route;
//! [`LayerRequest`] is what makes the two look alike.

mod call;
pub mod deadline;
pub mod dispatch;
pub mod per_try_timeout;
pub mod retry;
pub mod select;

pub use self::call::{Answered, Call, CallContext, LayerRequest, Scope};
