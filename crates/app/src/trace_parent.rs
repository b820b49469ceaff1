//! The header `traceparent`, which assigns a request to a trace.

/// A caller's `traceparent` (W3C Trace Context, version 00 and later versions of the same form).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent<'a> {
    /// 32 hexadecimal digits, not all zero.
    pub trace_id: &'a str,
    /// The caller's span: 16 hexadecimal digits, not all zero.
    pub parent_id: &'a str,
    /// Whether the caller records the trace.
    pub is_sampled: bool,
}

impl<'a> TraceParent<'a> {
    /// Parses the header; `None` if it is malformed.
    pub fn parse(header: &'a str) -> Option<Self> {
        let mut fields = header.split('-');
        let version = fields.next()?;
        let (trace_id, parent_id, flags) = (fields.next()?, fields.next()?, fields.next()?);
        let is_known = is_hex(version, 2) && version != "ff" && is_hex(flags, 2);
        let ends = version != "00" || fields.next().is_none();
        let is_sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        (is_known && ends && is_id(trace_id, 32) && is_id(parent_id, 16)).then_some(Self {
            trace_id,
            parent_id,
            is_sampled,
        })
    }
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT_ID: &str = "00f067aa0ba902b7";

    #[rstest]
    #[case("00", "01", true)]
    #[case("00", "00", false)]
    #[case("00", "03", true)]
    #[case("cc", "01-a-future-field", true)]
    fn a_well_formed_header_is_parsed(#[case] version: &str, #[case] rest: &str, #[case] is_sampled: bool) {
        let header = format!("{version}-{TRACE_ID}-{PARENT_ID}-{rest}");
        let parent = TraceParent { trace_id: TRACE_ID, parent_id: PARENT_ID, is_sampled };
        assert_eq!(TraceParent::parse(&header), Some(parent));
    }

    #[rstest]
    #[case("")]
    #[case("00")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more")]
    #[case("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")]
    #[case("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")]
    fn a_malformed_header_is_none(#[case] header: &str) {
        assert_eq!(TraceParent::parse(header), None);
    }
}
