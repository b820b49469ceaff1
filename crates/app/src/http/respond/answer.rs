//! Answers to commands, as they are stored and sent. One function makes the first response and each replay from the
//! same [`RenderedAnswer`], so they are byte-identical.
//!
//! The head is text, its fields separated by `;`:
//!
//! | field | success | problem |
//! |---|---|---|
//! | format | `1` | `1` |
//! | status | `201` | `409` |
//! | location, may be empty | `/v1/orders/01900000-0000-7000-8000-000000000001` | |
//! | language | | `ko` |
//! | code, for metrics | | `OUT_OF_STOCK` |
//!
//! Stored heads outlive the release that wrote them, and servers of two releases run side by side: a field of format 1
//! never changes its meaning, and a reader ignores unknown trailing fields.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue, LOCATION};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use thiserror::Error;

use jangteo_domain::command::Outcome;
use jangteo_domain::idempotency::{AnswerRenderer, RenderedAnswer};
use jangteo_domain::{Currency, Reply};

use crate::http::respond::problem::{self, Occurrence, ProblemCode, problem_of_rejection};

/// The header of a replayed answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The version of the head's fields.
const FORMAT: &str = "1";
const SEPARATOR: char = ';';
/// The outcome of a success, for metrics.
pub const ACCEPTED: &str = "accepted";

/// Renders the outcome of one request.
#[derive(Clone, Debug)]
pub struct Renderer {
    occurrence: Occurrence,
    currency: Currency,
    success: fn(&Reply, Currency) -> Success,
}

/// The success of a command, before it is sent.
pub struct Success {
    pub status: StatusCode,
    /// The path of the created resource, with user ids unescaped.
    pub location: Option<String>,
    /// JSON; empty with [`StatusCode::NO_CONTENT`].
    pub body: String,
}

impl Renderer {
    /// The renderer of the request, with amounts in that currency.
    ///
    /// # Panics
    /// When the request did not pass the middleware.
    pub fn of(request: &HttpRequest, currency: Currency, success: fn(&Reply, Currency) -> Success) -> Self {
        let occurrence = request.extensions().get::<Occurrence>().cloned();
        let occurrence = occurrence.expect("the middleware sets the occurrence of each request");
        Self { occurrence, currency, success }
    }

    /// The id of the request.
    pub fn request_id(&self) -> &str {
        &self.occurrence.request_id
    }

    fn success(&self, reply: &Reply) -> RenderedAnswer {
        let Success { status, location, body } = (self.success)(reply, self.currency);
        let head = Head { status, location: location.as_deref().unwrap_or_default(), problem: None };
        RenderedAnswer { head: head.to_text(), body }
    }
}

impl AnswerRenderer for Renderer {
    fn render(&self, outcome: &Outcome) -> RenderedAnswer {
        match outcome {
            Ok(reply) => self.success(reply),
            Err(rejection) => {
                let problem = problem_of_rejection(rejection, self.currency);
                let kind = problem.code().kind();
                let language = self.occurrence.language.tag();
                let problem_head = ProblemHead { language, code: kind.code };
                let head = Head { status: kind.status, location: "", problem: Some(problem_head) };
                RenderedAnswer { head: head.to_text(), body: problem.body(&self.occurrence) }
            }
        }
    }
}

/// A response to a command.
#[derive(Debug)]
pub struct CommandResponse {
    pub response: HttpResponse,
    /// The outcome for metrics: `accepted`, or the code of the problem.
    pub outcome: &'static str,
}

/// A stored head in an unknown format.
#[derive(Debug, Error)]
#[error("the head of an answer is unreadable: {0:?}")]
pub struct UnreadableHead(String);

/// The first response with the answer.
///
/// # Errors
/// A head in an unknown format.
pub fn respond(answer: RenderedAnswer) -> Result<CommandResponse, UnreadableHead> {
    let RenderedAnswer { head, body } = answer;
    let unreadable = || UnreadableHead(head.clone());
    let head = Head::parse(&head).ok_or_else(unreadable)?;
    let response = head.response(body).map_err(|_| unreadable())?;
    Ok(CommandResponse { response, outcome: head.outcome() })
}

/// The response that replays a stored answer.
///
/// # Errors
/// A head in an unknown format.
pub fn replay(answer: RenderedAnswer) -> Result<CommandResponse, UnreadableHead> {
    let mut replayed = respond(answer)?;
    replayed.response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(replayed)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Head<'a> {
    status: StatusCode,
    /// With user ids unescaped; empty for none.
    location: &'a str,
    /// `None` for a success.
    problem: Option<ProblemHead<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ProblemHead<'a> {
    language: &'a str,
    /// Empty in heads of releases without codes.
    code: &'a str,
}

impl<'a> Head<'a> {
    fn to_text(self) -> String {
        let Self { status, location, problem } = self;
        let status = status.as_u16();
        match problem {
            None => format!("{FORMAT};{status};{location}"),
            Some(ProblemHead { language, code }) => format!("{FORMAT};{status};{location};{language};{code}"),
        }
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.split(SEPARATOR);
        if fields.next()? != FORMAT || !text.is_ascii() {
            return None;
        }
        let status = StatusCode::from_bytes(fields.next()?.as_bytes()).ok()?;
        let location = fields.next()?;
        let language = fields.next().unwrap_or_default();
        let code = fields.next().unwrap_or_default();
        let problem = (!language.is_empty()).then_some(ProblemHead { language, code });
        let fits = if problem.is_some() { status.is_client_error() } else { status.is_success() };
        fits.then_some(Self { status, location, problem })
    }

    fn response(&self, body: String) -> Result<HttpResponse, InvalidHeaderValue> {
        let mut headers = Vec::new();
        match self.problem {
            Some(ProblemHead { language, code: _ }) => {
                headers.push((CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE)));
                headers.push((CONTENT_LANGUAGE, HeaderValue::from_str(language)?));
            }
            None if self.status == StatusCode::NO_CONTENT => {}
            None => headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json"))),
        }
        if !self.location.is_empty() {
            headers.push((LOCATION, HeaderValue::from_str(&in_uri(self.location))?));
        }
        let mut response = HttpResponse::build(self.status);
        headers.into_iter().for_each(|header| {
            response.insert_header(header);
        });
        Ok(response.body(body))
    }

    fn outcome(&self) -> &'static str {
        let Some(ProblemHead { code, .. }) = self.problem else { return ACCEPTED };
        // Codes of other releases count as "other": the values of a label are bounded.
        ProblemCode::ALL.iter().map(|known| known.kind().code).find(|known| *known == code).unwrap_or("other")
    }
}

/// A location as a URI. Of the characters of a user id only `|` needs escaping (RFC 3986, 3.3). It is stored unescaped:
/// a head has no room for three bytes each.
fn in_uri(location: &str) -> String {
    location.replace('|', "%7C")
}

#[cfg(test)]
mod tests;
