//! Tests over real sockets.

mod calling;
mod calling_as_ue;
mod certificates;
mod fixtures;
mod handshake;
mod rotation;
