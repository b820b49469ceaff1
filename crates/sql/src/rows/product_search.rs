//! The searched text of a product, and the words of the search index.
//!
//! A word is a pair of adjacent characters in hexadecimal digits, which every full-text parser accepts: `원목` is
//! `xc6d0baa9`. A text contains all words of its substrings, so the index finds a superset of the products to search
//! for; the texts decide.

use std::collections::BTreeSet;
use std::fmt;

use jangteo_domain::id::ProductId;
use jangteo_domain::product::{Product, ProductDetails};

use crate::rows::{lookups, rows};
use crate::types::{Id, LongText};

rows! {
    /// The searched text of a product.
    ProductSearchTextRow of product_search_texts {
        product_id: Id<ProductId>,
    } {
        search_text: LongText,
    }

    /// The words of a product in the search index.
    ProductSearchGramsRow of product_search_grams {
        product_id: Id<ProductId>,
    } {
        grams: LongText,
    }
}

lookups! {
    SearchTextOf finds ProductSearchTextRow by "PRIMARY" { product_id: Id<ProductId>, }
    SearchGramsOf finds ProductSearchGramsRow by "PRIMARY" { product_id: Id<ProductId>, }
}

/// Precedes name and description in the searched text. The domain rejects control characters, so no searched text
/// contains it. Servers of 0.2, which do not write the index, omit the first one.
const SEPARATOR: char = '\u{1f}';

/// Matches texts without the first [`SEPARATOR`], as no name begins with a control character.
pub(crate) const IS_UNINDEXED: &str = "search_text >= ' '";

/// Case-insensitive form of a text, in every script.
pub(crate) fn search_form(text: &str) -> String {
    text.to_lowercase()
}

fn search_text(product: &Product) -> String {
    let ProductDetails { name, description, .. } = &product.details;
    search_form(&format!("{SEPARATOR}{}{SEPARATOR}{}", name.as_str(), description.as_str()))
}

impl From<&Product> for ProductSearchTextRow {
    fn from(product: &Product) -> Self {
        Self { product_id: Id(product.id), search_text: LongText(search_text(product)) }
    }
}

impl From<&Product> for ProductSearchGramsRow {
    fn from(product: &Product) -> Self {
        let text = search_text(product);
        let words: Vec<String> = words_of(&text).iter().map(Word::to_string).collect();
        Self { product_id: Id(product.id), grams: LongText(words.join(" ")) }
    }
}

/// A word of the index, or the beginning of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    Pair(char, char),
    Beginning(char),
}

impl Word {
    /// The text that contains the word.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Pair(first, second) => [first, second].iter().collect(),
            Self::Beginning(first) => first.to_string(),
        }
    }
}

/// As in both databases' queries. Characters beyond the first 65,536 take more digits and may coincide with other pairs.
impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Pair(first, second) => write!(f, "x{:04x}{:04x}", u32::from(first), u32::from(second)),
            Self::Beginning(first) => write!(f, "x{:04x}*", u32::from(first)),
        }
    }
}

/// No word begins with white space, which is in every text.
fn begins_word(first: char) -> bool {
    !first.is_whitespace() && !first.is_control()
}

/// The words of a stored text: one for each of its characters, so that each is found by its [`Word::Beginning`].
fn words_of(text: &str) -> BTreeSet<Word> {
    let followers = text.chars().skip(1).chain(['\0']);
    let pairs = text.chars().zip(followers).filter(|(first, _)| begins_word(*first));
    pairs.map(|(first, second)| Word::Pair(first, second)).collect()
}

/// The distinct words that every text with this substring has: its pairs, or the one of its only character.
pub(crate) fn words_to_find(text: &str) -> Vec<Word> {
    let pairs = text.chars().zip(text.chars().skip(1)).filter(|(first, _)| begins_word(*first));
    let words: BTreeSet<Word> = pairs.map(|(first, second)| Word::Pair(first, second)).collect();
    if words.is_empty() {
        return text.chars().rev().find(|last| begins_word(*last)).map(Word::Beginning).into_iter().collect();
    }
    words.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use jangteo_domain::testing::SequentialIds;
    use jangteo_domain::testing::fixtures::{NOON, product_details, text};
    use proptest::prelude::*;

    use super::*;

    fn product(name: &str, description: &str) -> Product {
        let details = ProductDetails { description: text(description), ..product_details(name, 1) };
        Product::create(SequentialIds::id(1).into(), details, NOON)
    }

    #[test]
    fn a_product_is_indexed_by_the_pairs_of_its_letters() {
        let LongText(grams) = ProductSearchGramsRow::from(&product("원목 🎈", "Aa aa")).grams;
        assert_eq!(grams, "x00610000 x00610020 x00610061 xbaa90020 xc6d0baa9 x1f388001f");
        let LongText(searched) = ProductSearchTextRow::from(&product("원목", "Aa")).search_text;
        assert_eq!(searched, "\u{1f}원목\u{1f}aa");
    }

    #[test]
    fn a_search_has_the_words_of_its_pairs_or_of_its_only_letter() {
        let words = |text: &str| words_to_find(text).iter().map(Word::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(words("원목원목"), "xbaa9c6d0 xc6d0baa9");
        assert_eq!(words("a b"), "x00610020");
        assert_eq!(words("원"), "xc6d0*");
        assert_eq!(words("🎈"), "x1f388*");
    }

    proptest! {
        /// No product is missed, in any script, any case and at any place of the substring.
        #[test]
        fn a_text_has_the_words_of_each_of_its_substrings(
            name in "[가-깋aAΣİ🎈ß ]{1,12}", begin in 0_usize..12, length in 1_usize..6,
        ) {
            let stored = search_form(&format!("{SEPARATOR}{name}{SEPARATOR}"));
            let wanted: String = stored.chars().filter(|c| *c != SEPARATOR).skip(begin).take(length).collect();
            let indexed = words_of(&stored);
            for word in words_to_find(wanted.trim()) {
                let is_found = match word {
                    Word::Pair(..) => indexed.contains(&word),
                    Word::Beginning(first) => indexed.iter().any(|word| matches!(word, Word::Pair(c, _) if *c == first)),
                };
                prop_assert!(is_found, "{word} of {wanted:?} in {stored:?}");
            }
        }
    }
}
