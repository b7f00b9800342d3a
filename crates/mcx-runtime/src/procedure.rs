//! The steps of a 3GPP procedure as spans, so that a trace reads like the figure of the specification.

/// A span for one step of a procedure: `procedure_step!("10.1.6.2", 4, from system, from entity => to system, to entity, message, identity)`.
///
/// The span carries `mcx.clause`, `mcx.step`, `mcx.from`, `mcx.to` (each `<mc system>/<entity>`), `mcx.message` (the name that the
/// figure has for it) and `mcx.identity` (whom it is about). Its name in traces is the step and the message.
#[macro_export]
macro_rules! procedure_step {
    ($clause:literal, $step:literal, $from_system:expr, $from:expr => $to_system:expr, $to:expr, $message:literal, $identity:expr) => {
        ::tracing::info_span!(
            target: "mcx::procedure",
            "procedure step",
            otel.name = ::std::concat!($step, " ", $message),
            mcx.clause = $clause,
            mcx.step = ::std::stringify!($step),
            mcx.from = %::std::format_args!("{}/{}", $from_system, $from),
            mcx.to = %::std::format_args!("{}/{}", $to_system, $to),
            mcx.message = $message,
            mcx.identity = %$identity,
        )
    };
}
