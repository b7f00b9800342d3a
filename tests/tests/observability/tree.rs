//! Traces drawn as trees.

use crate::observed::Span;

/// The number of a span's step, where it is one of a procedure.
pub(crate) fn step(span: &Span) -> Option<u8> {
    span.attribute("mcx.step").parse().ok()
}

/// Draws the spans below `parent` as a tree, in the order of the steps.
pub(crate) fn draw(spans: &[Span], parent: &str, depth: usize, drawn: &mut String) {
    draw_with(spans, parent, depth, drawn, &|step, span| {
        format!("{step} {}", span.name.trim_start_matches(&format!("{step} ")))
    });
}

/// The same for a trace of several procedures: each step with its clause, the calls between entities and all that is not said by the
/// systems themselves left out.
pub(crate) fn draw_procedures(spans: &[Span], parent: &str, depth: usize, drawn: &mut String) {
    draw_with(spans, parent, depth, drawn, &|step, span| {
        let message = span.name.trim_start_matches(&format!("{step} "));
        format!("{} step {step}: {message}", span.attribute("mcx.clause"))
    });
}

fn draw_with(
    spans: &[Span],
    parent: &str,
    depth: usize,
    drawn: &mut String,
    step_line: &dyn Fn(u8, &Span) -> String,
) {
    let mut children: Vec<&Span> = spans.iter().filter(|span| span.parent == parent).collect();
    children.sort_by_key(|span| (step(span), &span.name));
    for child in children {
        let line = match (step(child), child.attribute("system")) {
            (Some(step), _) => step_line(step, child),
            (None, "") => format!("call {}", child.name),
            (None, system) => format!("{system} serves {}", child.name),
        };
        drawn.push_str(&format!("{:indent$}{line}\n", "", indent = 2 * depth));
        draw_with(spans, &child.id, depth + 1, drawn, step_line);
    }
}
