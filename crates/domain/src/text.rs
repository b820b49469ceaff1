//! Text of a bounded length that databases and screens can represent.

use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// Text of `MIN` to `MAX` Unicode characters, without surrounding white space and without control characters besides
/// line feed and tab.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// Reasons to reject a text, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the variants and fields are named after their contents")]
pub enum TextError {
    #[error("shorter than {min} characters")]
    TooShort { min: usize },
    #[error("longer than {max} characters")]
    TooLong { max: usize },
    /// Any but line feed and tab.
    #[error("a control character")]
    ControlCharacter,
    #[error("white space at the start or the end")]
    SurroundingWhiteSpace,
}

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text as entered by a person: without surrounding white space, CRLF as a line feed, in the Unicode form NFC. The
    /// same word entered on another system is then the same text.
    ///
    /// # Errors
    /// As for stored text, but for white space at the ends.
    pub fn parse(written: &str) -> Result<Self, TextError> {
        Self::try_from(written.trim().replace("\r\n", "\n").nfc().collect::<String>())
    }

    /// The text as a string slice.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<String> for Text<MIN, MAX> {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        // Counting stops one past the limit, so that a huge text costs no more than a long one.
        let length = text.chars().take(MAX.saturating_add(1)).count();
        if length < MIN {
            Err(TextError::TooShort { min: MIN })
        } else if length > MAX {
            Err(TextError::TooLong { max: MAX })
        } else if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            Err(TextError::ControlCharacter)
        } else if text.trim().len() != text.len() {
            Err(TextError::SurroundingWhiteSpace)
        } else {
            Ok(Self(text))
        }
    }
}

impl<const MIN: usize, const MAX: usize> From<Text<MIN, MAX>> for String {
    fn from(text: Text<MIN, MAX>) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Text<2, 4>, TextError> {
        text.to_owned().try_into()
    }

    #[test]
    fn entered_text_is_trimmed_and_composed_before_it_is_measured() {
        let parse = |written: &str| Text::<2, 4>::parse(written).map(String::from);
        assert_eq!(parse("\u{3000} ab\r\n "), Ok("ab".to_owned()));
        assert_eq!(parse("a\r\nb"), Ok("a\nb".to_owned()));
        assert_eq!(parse("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"), Ok("한글".to_owned()));
        assert_eq!(parse(" a "), Err(TextError::TooShort { min: 2 }));
        assert_eq!(parse("a\rb"), Err(TextError::ControlCharacter));
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        assert_eq!(text("🎈🎈🎈🎈").map(String::from), Ok("🎈🎈🎈🎈".to_owned()));
        assert_eq!(text("🎈🎈🎈🎈🎈"), Err(TextError::TooLong { max: 4 }));
        assert_eq!(text("가"), Err(TextError::TooShort { min: 2 }));
    }

    #[test]
    fn control_characters_are_rejected_but_for_line_feed_and_tab() {
        assert!(text("a\tb").is_ok() && text("a\nb").is_ok());
        for control in ["a\rb", "a\0b", "a\u{7f}b", "a\u{85}b"] {
            assert_eq!(text(control), Err(TextError::ControlCharacter), "{control:?}");
        }
    }

    #[test]
    fn white_space_is_rejected_at_either_end() {
        assert!(text("a b").is_ok());
        for surrounded in [" ab", "ab ", "\nab", "ab\u{3000}"] {
            assert_eq!(text(surrounded), Err(TextError::SurroundingWhiteSpace), "{surrounded:?}");
        }
    }

    #[test]
    fn checks_the_length_before_the_characters() {
        assert_eq!(text("\0"), Err(TextError::TooShort { min: 2 }));
        assert_eq!(text("\0aaaa"), Err(TextError::TooLong { max: 4 }));
        assert_eq!(text(" a\0"), Err(TextError::ControlCharacter));
    }
}
