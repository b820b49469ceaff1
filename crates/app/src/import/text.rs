//! Texts of files.

use sha2::{Digest, Sha256};

use jangteo_domain::product::{ItemGroupId, ProductStatus};

/// The characters of a group in a derived SKU, which has at most 64 with the hyphen and 16 digits.
const PREFIX_LENGTH: usize = 47;
const GROUP_LENGTH_MAX: usize = 64;
/// Separates the parts of a hash. The domain rejects control characters, so no part contains it.
const SEPARATOR: char = '\u{1f}';

/// Names of tags that begin and end a line.
const BLOCKS: [&str; 15] =
    ["br", "p", "div", "li", "ul", "ol", "tr", "table", "h1", "h2", "h3", "h4", "h5", "h6", "section"];
const QUOTE_BLOCK: &str = "blockquote";

/// The cell of a text in an exported file: a spreadsheet would run some as formulas.
pub fn escaped(text: &str) -> String {
    if text.starts_with(is_formula_start) { format!("'{text}") } else { text.to_owned() }
}

/// The text of a cell, without the apostrophe of [`escaped`].
pub fn unescaped(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| rest.starts_with(is_formula_start)).unwrap_or(cell)
}

fn is_formula_start(first: char) -> bool {
    matches!(first, '=' | '+' | '-' | '@' | '\t' | '\r' | '\'')
}

/// The status in files and in JSON.
pub fn status_word(status: ProductStatus) -> &'static str {
    match status {
        ProductStatus::OnSale => "on_sale",
        ProductStatus::Hidden => "hidden",
        ProductStatus::Discontinued => "discontinued",
    }
}

/// A SKU of group and options, which are sorted by name: the same in each file with them.
pub fn derived_sku<'a>(group: &str, options: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let mut hashed = group.to_owned();
    for (name, value) in options {
        for part in [name, value] {
            hashed.push(SEPARATOR);
            hashed.push_str(part);
        }
    }
    let digits = hex::encode(&Sha256::digest(hashed)[..8]);
    format!("{}-{digits}", group.chars().take(PREFIX_LENGTH).collect::<String>())
}

/// The group by its name in a file, shortened to the maximum of [`ItemGroupId`].
pub fn group_id(written: &str) -> String {
    const { assert!(PREFIX_LENGTH + 17 == GROUP_LENGTH_MAX) };
    match ItemGroupId::parse(written) {
        Err(_) if written.chars().count() > GROUP_LENGTH_MAX => derived_sku(written, []),
        Ok(_) | Err(_) => written.to_owned(),
    }
}

/// The text of an HTML fragment, line by line. Text without a tag retains its lines.
pub fn of_html(html: &str) -> String {
    if !has_tag(html) {
        return with_references(html);
    }
    let mut text = String::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        push_collapsed(&mut text, &rest[..start]);
        rest = &rest[start..];
        let Some(tag) = tag_name(rest) else {
            text.push('<');
            rest = &rest[1..];
            continue;
        };
        let end = if rest.starts_with("<!--") {
            rest.find("-->").map(|end| end + 3)
        } else if let name @ ("script" | "style") = tag.as_str() {
            end_of_element(rest, name)
        } else {
            rest.find('>').map(|end| end + 1)
        };
        let is_block = BLOCKS.contains(&tag.as_str()) || tag == QUOTE_BLOCK;
        if is_block {
            text.push('\n');
        }
        rest = end.map_or("", |end| &rest[end..]);
    }
    push_collapsed(&mut text, rest);
    let lines = with_references(&text);
    let lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

fn has_tag(html: &str) -> bool {
    html.match_indices('<').any(|(start, _)| tag_name(&html[start..]).is_some() && html[start..].contains('>'))
}

/// The name of the tag or comment at the start, in lower case and without its slash; `None` for other text.
fn tag_name(html: &str) -> Option<String> {
    let inner = html.strip_prefix('<')?;
    if inner.starts_with('!') {
        return Some("!".to_owned());
    }
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let name: String = inner.chars().take_while(char::is_ascii_alphanumeric).collect();
    name.starts_with(|first: char| first.is_ascii_alphabetic()).then(|| name.to_ascii_lowercase())
}

/// The end of an element whose content is no text.
fn end_of_element(html: &str, name: &str) -> Option<usize> {
    if html.starts_with("</") {
        return html.find('>').map(|end| end + 1);
    }
    let closing = html.to_ascii_lowercase().find(&format!("</{name}"))?;
    html[closing..].find('>').map(|end| closing + end + 1)
}

/// Appends text with each run of white space as one space.
fn push_collapsed(out: &mut String, text: &str) {
    for character in text.chars() {
        if !character.is_ascii_whitespace() {
            out.push(character);
        } else if !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
}

/// The text with its character references replaced; unknown ones stay.
fn with_references(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.char_indices().take(12).find(|(_, character)| *character == ';').map(|(end, _)| end);
        match end.and_then(|end| Some((referenced(&rest[1..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn referenced(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let hexadecimal = number.strip_prefix(['x', 'X']);
            let code = hexadecimal.map_or_else(|| number.parse(), |digits| u32::from_str_radix(digits, 16)).ok()?;
            char::from_u32(code).filter(|character| !character.is_control())
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain\ntext", "plain\ntext")]
    #[case("a < b & c &amp; d", "a < b & c & d")]
    #[case("<p>a\r\n  b</p>c", "a b\nc")]
    #[case("a<br/>b<BR>c", "a\nb\nc")]
    #[case("<ul><li>a</li>\n<li>b</li></ul>", "a\nb")]
    #[case("<b>a</b> < b", "a < b")]
    #[case("a<!-- <p>x</p> -->b<script>if (a < b) { }</script>c", "abc")]
    #[case("<style>p { }</style>a<script>never closed", "a")]
    #[case("<b>&lt;b&gt; &#44; &#x41; &eacute; &#0; &nosemicolon</b>", "<b> , A &eacute; &#0; &nosemicolon")]
    #[case("<p>unclosed <b", "unclosed")]
    #[case("가<p>나&nbsp;다", "가\n나 다")]
    fn html_becomes_text(#[case] html: &str, #[case] text: &str) {
        assert_eq!(of_html(html), text);
    }

    #[rstest]
    #[case("=1+1")]
    #[case("-1")]
    #[case("+a")]
    #[case("@a")]
    #[case("'quoted")]
    #[case("''")]
    #[case("a=1")]
    #[case("")]
    fn an_exported_cell_is_read_back(#[case] text: &str) {
        let cell = escaped(text);
        assert!(!cell.starts_with(['=', '+', '-', '@']));
        assert_eq!(unescaped(&cell), text);
    }

    #[test]
    fn parts_of_a_derived_sku_do_not_merge() {
        let [a, b, ab, empty] = ["a", "b", "ab", ""].map(str::to_owned);
        let skus = [
            derived_sku("g", [(&a, &b)]),
            derived_sku("g", [(&ab, &empty)]),
            derived_sku("ga", [(&b, &empty)]),
            derived_sku("g", []),
        ];
        let distinct: std::collections::BTreeSet<_> = skus.iter().collect();
        assert_eq!(distinct.len(), skus.len());
        assert_eq!(derived_sku(&"가".repeat(100), []).chars().count(), GROUP_LENGTH_MAX);
    }
}
