use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, AcceptLanguage, Header};

use crate::http::headers::is_present;
use crate::http::respond::problem::Language;

/// The preferred one of the supported languages; English by default.
pub fn preferred(request: &ServiceRequest) -> Language {
    if !is_present(request.headers(), header::ACCEPT_LANGUAGE) {
        return Language::English;
    }
    let Ok(mut accepted) = AcceptLanguage::parse(request) else { return Language::English };
    accepted.retain(|preference| preference.quality > header::Quality::ZERO);
    let ranked = accepted.ranked();
    let known = ranked.iter().find_map(|preference| {
        let tag = preference.item().map_or("en", |tag| tag.as_str()).to_ascii_lowercase();
        match tag.split('-').next() {
            Some("ko") => Some(Language::Korean),
            Some("en") => Some(Language::English),
            _ => None,
        }
    });
    known.unwrap_or(Language::English)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ko", Language::Korean)]
    #[case("ko-KR,ko;q=0.9,en;q=0.8", Language::Korean)]
    #[case("en;q=0.5, ko;q=0.9", Language::Korean)]
    #[case("en, ko", Language::English)]
    #[case("fr, ko;q=0.1", Language::Korean)]
    #[case("ko;q=0", Language::English)]
    #[case("fr", Language::English)]
    #[case("*", Language::English)]
    #[case(";;;", Language::English)]
    #[case(&format!("ko{}", ",fr".repeat(340)), Language::Korean)]
    #[case(&format!("ko{}", ",fr".repeat(341)), Language::English)]
    fn selects_the_preferred_language(#[case] accept_language: &str, #[case] expected: Language) {
        let request = TestRequest::get().insert_header((header::ACCEPT_LANGUAGE, accept_language)).to_srv_request();
        assert_eq!(preferred(&request), expected);
    }
}
