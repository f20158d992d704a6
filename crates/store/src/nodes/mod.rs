//! Nodes in the books: which get nothing new, and what was ordered of their groups.

mod groups;
mod marks;

pub use groups::GroupRow;
pub use marks::Marking;
