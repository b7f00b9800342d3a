//! Tests over real sockets.

mod calling;
mod certificates;
mod fixtures;
mod handshake;
mod rotation;
