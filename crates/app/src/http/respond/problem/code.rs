//! Every error that a client may see, in one table: its stable code, its status, whether sending the same request
//! again can help, and what it says in English and Korean.

use actix_web::http::StatusCode;
use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The languages in which errors are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// English, where nothing else is preferred.
    English,
    /// Korean.
    Korean,
}

impl Language {
    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }
}

/// A sentence in each [`Language`].
#[derive(Debug)]
pub struct Wording {
    english: &'static str,
    korean: &'static str,
}

impl Wording {
    /// The sentence in that language.
    pub fn in_language(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Korean => self.korean,
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct ProblemKind {
    /// The stable name, UPPER_SNAKE.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// Whether the same request, sent again later, may succeed without anything else being changed.
    pub retryable: bool,
    /// A few words.
    pub title: Wording,
    /// What it means and what to do.
    pub detail: Wording,
}

macro_rules! problem_codes {
    ($($variant:ident, $code:literal, $status:ident, $retry:ident,
       $title_en:literal, $title_ko:literal, $detail_en:literal, $detail_ko:literal;)*) => {
        /// The code of a problem. New ones may come; none is ever renamed.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[expect(missing_docs, reason = "each is described by its row of the table")]
        pub enum ProblemCode { $($variant,)* }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What the table says of it.
            pub fn kind(self) -> &'static ProblemKind {
                match self {
                    $(Self::$variant => {
                        const KIND: &ProblemKind = &ProblemKind {
                            code: $code,
                            status: StatusCode::$status,
                            retryable: $retry::IS,
                            title: Wording { english: $title_en, korean: $title_ko },
                            detail: Wording { english: $detail_en, korean: $detail_ko },
                        };
                        KIND
                    })*
                }
            }
        }
    };
}

/// In the table: the same request may succeed later.
struct Again;
/// In the table: the same request will fail again.
struct Final;

impl Again {
    const IS: bool = true;
}

impl Final {
    const IS: bool = false;
}

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.kind().code)))
            .description(Some("The stable name of a problem. New ones may come; none is ever renamed."))
            .into()
    }
}

impl ToSchema for ProblemCode {}

problem_codes! {
    BadRequest, "BAD_REQUEST", BAD_REQUEST, Final,
        "Bad request", "잘못된 요청",
        "The request cannot be understood.", "요청을 이해할 수 없습니다.";
    MalformedJson, "MALFORMED_JSON", BAD_REQUEST, Final,
        "Malformed JSON", "잘못된 JSON",
        "The body is not one JSON value in UTF-8, or it is nested too deeply.",
        "본문이 UTF-8로 된 하나의 JSON 값이 아니거나 너무 깊게 중첩되어 있습니다.";
    InvalidBody, "INVALID_BODY", BAD_REQUEST, Final,
        "Invalid body", "유효하지 않은 본문",
        "The fields named in `errors` are missing, unknown or wrong.",
        "`errors`에 적힌 필드가 없거나, 알 수 없거나, 잘못되었습니다.";
    InvalidQuery, "INVALID_QUERY", BAD_REQUEST, Final,
        "Invalid query", "유효하지 않은 쿼리",
        "The query parameters named in `errors` are unknown or wrong.",
        "`errors`에 적힌 쿼리 매개변수를 알 수 없거나 잘못되었습니다.";
    InvalidCursor, "INVALID_CURSOR", BAD_REQUEST, Final,
        "Invalid cursor", "유효하지 않은 커서",
        "The cursor is not one that this list gave out for these filters. Start again without a cursor.",
        "이 목록이 같은 조건으로 내준 커서가 아닙니다. 커서 없이 다시 시작하세요.";
    InvalidIdempotencyKey, "INVALID_IDEMPOTENCY_KEY", BAD_REQUEST, Final,
        "Invalid Idempotency-Key", "유효하지 않은 Idempotency-Key",
        "An Idempotency-Key is 1 to 255 printable ASCII characters, bare or quoted, and is sent once.",
        "Idempotency-Key는 출력 가능한 ASCII 문자 1~255자이며, 한 번만 보내야 합니다.";
    IdempotencyKeyRequired, "IDEMPOTENCY_KEY_REQUIRED", BAD_REQUEST, Final,
        "Idempotency-Key required", "Idempotency-Key 필요",
        "This shop takes writes only with an Idempotency-Key.",
        "이 상점은 Idempotency-Key가 있는 쓰기 요청만 받습니다.";
    AmountNotPositive, "AMOUNT_NOT_POSITIVE", BAD_REQUEST, Final,
        "Amount not positive", "0 이하의 금액",
        "The amount must be above zero.", "금액은 0보다 커야 합니다.";
    AmountTooPrecise, "AMOUNT_TOO_PRECISE", BAD_REQUEST, Final,
        "Amount too precise", "금액의 소수 자릿수 초과",
        "The amount has more decimals than the shop's currency; amounts are never rounded.",
        "금액의 소수 자릿수가 상점 통화보다 많습니다. 금액은 반올림하지 않습니다.";
    EmptyOrder, "EMPTY_ORDER", BAD_REQUEST, Final,
        "Empty order", "빈 주문",
        "An order has at least one line.", "주문에는 한 개 이상의 상품이 있어야 합니다.";
    InvalidQuantity, "INVALID_QUANTITY", BAD_REQUEST, Final,
        "Invalid quantity", "유효하지 않은 수량",
        "A quantity is below 1 or above the shop's limit, or there are too many lines.",
        "수량이 1보다 작거나 상점의 한도를 넘거나, 주문 줄이 너무 많습니다.";
    Unauthenticated, "UNAUTHENTICATED", UNAUTHORIZED, Final,
        "Not authenticated", "인증되지 않음",
        "A valid bearer token is needed.", "유효한 Bearer 토큰이 필요합니다.";
    Forbidden, "FORBIDDEN", FORBIDDEN, Final,
        "Role missing", "권한 없음",
        "The token lacks the scope `admin`.", "토큰에 `admin` 권한 범위가 없습니다.";
    NotFound, "NOT_FOUND", NOT_FOUND, Final,
        "Not found", "찾을 수 없음",
        "There is nothing at this address.", "이 주소에는 아무것도 없습니다.";
    UserNotFound, "USER_NOT_FOUND", NOT_FOUND, Final,
        "User not found", "사용자를 찾을 수 없음",
        "There is no such user for this caller.", "해당 사용자를 찾을 수 없습니다.";
    ProductNotFound, "PRODUCT_NOT_FOUND", NOT_FOUND, Final,
        "Product not found", "상품을 찾을 수 없음",
        "There is no such product.", "해당 상품이 없습니다.";
    CampaignNotFound, "CAMPAIGN_NOT_FOUND", NOT_FOUND, Final,
        "Campaign not found", "캠페인을 찾을 수 없음",
        "There is no such coupon campaign.", "해당 쿠폰 캠페인이 없습니다.";
    CouponNotFound, "COUPON_NOT_FOUND", NOT_FOUND, Final,
        "Coupon not found", "쿠폰을 찾을 수 없음",
        "There is no such coupon for this user.", "해당 사용자의 쿠폰이 없습니다.";
    EventNotFound, "EVENT_NOT_FOUND", NOT_FOUND, Final,
        "Event not found", "이벤트를 찾을 수 없음",
        "There is no such event for the data platform.", "해당 데이터 플랫폼 이벤트가 없습니다.";
    OrderNotFound, "ORDER_NOT_FOUND", NOT_FOUND, Final,
        "Order not found", "주문을 찾을 수 없음",
        "There is no such order for this caller.", "해당 주문을 찾을 수 없습니다.";
    MethodNotAllowed, "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, Final,
        "Method not allowed", "허용되지 않은 메서드",
        "This address takes only the methods in the Allow header.",
        "이 주소는 Allow 헤더에 있는 메서드만 받습니다.";
    NotAcceptable, "NOT_ACCEPTABLE", NOT_ACCEPTABLE, Final,
        "Not acceptable", "제공할 수 없는 형식",
        "Answers are application/json, which the Accept header rules out.",
        "응답은 application/json이지만 Accept 헤더가 이를 제외합니다.";
    RequestTimeout, "REQUEST_TIMEOUT", REQUEST_TIMEOUT, Again,
        "Request timeout", "요청 시간 초과",
        "The body did not arrive in time.", "본문이 제시간에 도착하지 않았습니다.";
    TopUpLimitExceeded, "TOP_UP_LIMIT_EXCEEDED", CONFLICT, Final,
        "Top-up limit exceeded", "1회 충전 한도 초과",
        "One top-up may add at most `top_up_max`.", "한 번에 `top_up_max`까지 충전할 수 있습니다.";
    BalanceLimitExceeded, "BALANCE_LIMIT_EXCEEDED", CONFLICT, Final,
        "Balance limit exceeded", "보유 한도 초과",
        "The balance may be at most `balance_max`.", "잔액은 `balance_max`를 넘을 수 없습니다.";
    InsufficientPoints, "INSUFFICIENT_POINTS", CONFLICT, Final,
        "Insufficient points", "포인트 부족",
        "The balance does not cover the amount required.", "잔액이 결제 금액보다 적습니다.";
    ProductNotOnSale, "PRODUCT_NOT_ON_SALE", CONFLICT, Final,
        "Product not on sale", "판매 중이 아닌 상품",
        "The product is not sold now.", "지금 판매하지 않는 상품입니다.";
    OutOfStock, "OUT_OF_STOCK", CONFLICT, Final,
        "Out of stock", "재고 부족",
        "There are fewer pieces than asked for, of each product in `shortages`.",
        "`shortages`에 적힌 상품의 재고가 요청보다 적습니다.";
    StockLimitExceeded, "STOCK_LIMIT_EXCEEDED", CONFLICT, Final,
        "Stock limit exceeded", "재고 한도 초과",
        "The stock would be larger than can be counted.", "재고가 셀 수 있는 한도를 넘습니다.";
    PriceChanged, "PRICE_CHANGED", CONFLICT, Final,
        "Price changed", "가격 변경",
        "The order costs `total`, not `expected_total`.", "주문 금액이 `expected_total`이 아니라 `total`입니다.";
    TooManyOpenOrders, "TOO_MANY_OPEN_ORDERS", CONFLICT, Final,
        "Too many open orders", "미결제 주문 한도 초과",
        "A user may have at most `open_orders_max` unpaid orders. Pay or cancel one first.",
        "미결제 주문은 `open_orders_max`개까지입니다. 먼저 결제하거나 취소하세요.";
    CampaignNotOpen, "CAMPAIGN_NOT_OPEN", CONFLICT, Final,
        "Campaign not open", "발급 시작 전",
        "Coupons are issued from `issue_opens_at` on.", "쿠폰은 `issue_opens_at`부터 발급됩니다.";
    CampaignClosed, "CAMPAIGN_CLOSED", CONFLICT, Final,
        "Campaign closed", "발급 종료",
        "Coupons were issued until `issue_closes_at`.", "쿠폰 발급이 `issue_closes_at`에 끝났습니다.";
    CouponAlreadyIssued, "COUPON_ALREADY_ISSUED", CONFLICT, Final,
        "Coupon already issued", "이미 발급된 쿠폰",
        "The user has had a coupon of this campaign; there is one each.",
        "이 캠페인의 쿠폰은 이미 발급되었습니다. 1인 1매입니다.";
    CouponSoldOut, "COUPON_SOLD_OUT", CONFLICT, Final,
        "Coupons sold out", "쿠폰 소진",
        "All coupons of this campaign are issued.", "이 캠페인의 쿠폰이 모두 발급되었습니다.";
    CouponNotUsable, "COUPON_NOT_USABLE", CONFLICT, Final,
        "Coupon not usable", "사용할 수 없는 쿠폰",
        "The coupon does not apply; `reason` tells why.", "쿠폰을 사용할 수 없습니다. 이유는 `reason`에 있습니다.";
    CampaignQuantityLowered, "CAMPAIGN_QUANTITY_LOWERED", CONFLICT, Final,
        "Campaign quantity lowered", "캠페인 수량 감소",
        "A campaign's quantity can only be raised above `quantity`.",
        "캠페인 수량은 `quantity`보다 늘릴 수만 있습니다.";
    CampaignClosingPostponed, "CAMPAIGN_CLOSING_POSTPONED", CONFLICT, Final,
        "Campaign closing postponed", "캠페인 종료 연기",
        "A campaign can only close earlier than `issue_closes_at`.",
        "캠페인은 `issue_closes_at`보다 일찍 끝낼 수만 있습니다.";
    OrderExpired, "ORDER_EXPIRED", CONFLICT, Final,
        "Order expired", "만료된 주문",
        "The order was not paid in time.", "결제 기한이 지난 주문입니다.";
    OrderAlreadyCancelled, "ORDER_ALREADY_CANCELLED", CONFLICT, Final,
        "Order already cancelled", "이미 취소된 주문",
        "The order was cancelled or wholly refunded before.", "이미 취소되었거나 전액 환불된 주문입니다.";
    OrderNotDue, "ORDER_NOT_DUE", CONFLICT, Final,
        "Order not due", "만료 대상이 아닌 주문",
        "The order is not due to expire.", "만료될 때가 되지 않은 주문입니다.";
    OrderAlreadyPaid, "ORDER_ALREADY_PAID", CONFLICT, Final,
        "Order already paid", "이미 결제된 주문",
        "The order was paid before.", "이미 결제된 주문입니다.";
    OrderCancelled, "ORDER_CANCELLED", CONFLICT, Final,
        "Order cancelled", "취소된 주문",
        "The order is cancelled and cannot be paid.", "취소된 주문은 결제할 수 없습니다.";
    OrderNotPaid, "ORDER_NOT_PAID", CONFLICT, Final,
        "Order not paid", "결제되지 않은 주문",
        "The order was not paid, so there is nothing to refund.", "결제되지 않은 주문이라 환불할 것이 없습니다.";
    RefundTooLarge, "REFUND_TOO_LARGE", CONFLICT, Final,
        "Refund too large", "환불 수량 초과",
        "Of `product_id` only `refundable` pieces are left to refund, not `requested`.",
        "`product_id`의 환불 가능한 수량은 `requested`가 아니라 `refundable`개입니다.";
    RequestInProgress, "REQUEST_IN_PROGRESS", CONFLICT, Again,
        "Request in progress", "처리 중인 요청",
        "The first request with this Idempotency-Key is still being carried out.",
        "같은 Idempotency-Key의 첫 요청이 아직 처리 중입니다.";
    BodyTooLarge, "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, Final,
        "Body too large", "본문 크기 초과",
        "A body has at most 256 KiB.", "본문은 256KiB까지입니다.";
    UnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, Final,
        "Unsupported media type", "지원하지 않는 형식",
        "A body is sent as application/json in UTF-8, not compressed.",
        "본문은 압축하지 않은 UTF-8 application/json으로 보내야 합니다.";
    IdempotencyKeyReused, "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, Final,
        "Idempotency-Key reused", "재사용된 Idempotency-Key",
        "The Idempotency-Key belongs to another request. Use a new one for each request.",
        "다른 요청에 쓰인 Idempotency-Key입니다. 요청마다 새 키를 쓰세요.";
    RateLimited, "RATE_LIMITED", TOO_MANY_REQUESTS, Again,
        "Too many requests", "요청 한도 초과",
        "The caller sends more requests than the shop allows. Wait as long as Retry-After says.",
        "허용된 요청 수를 넘었습니다. Retry-After만큼 기다리세요.";
    InternalError, "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, Final,
        "Internal error", "내부 오류",
        "Something failed that should not have. The request id finds it in the logs.",
        "예상하지 못한 오류가 발생했습니다. 요청 ID로 로그에서 찾을 수 있습니다.";
    DatabaseUnavailable, "DATABASE_UNAVAILABLE", SERVICE_UNAVAILABLE, Again,
        "Database unavailable", "데이터베이스 사용 불가",
        "The database cannot be reached or is busy. Nothing happened.",
        "데이터베이스에 연결할 수 없거나 혼잡합니다. 아무 일도 일어나지 않았습니다.";
    OutcomeUnknown, "OUTCOME_UNKNOWN", SERVICE_UNAVAILABLE, Final,
        "Outcome unknown", "결과 불명",
        "The request may or may not have taken effect. Sent again with the same Idempotency-Key it has one effect.",
        "요청이 처리되었는지 알 수 없습니다. 같은 Idempotency-Key로 다시 보내면 한 번만 처리됩니다.";
    Overloaded, "OVERLOADED", SERVICE_UNAVAILABLE, Again,
        "Overloaded", "과부하",
        "More requests wait than can be served in time. Nothing happened.",
        "대기 중인 요청이 너무 많습니다. 아무 일도 일어나지 않았습니다.";
    ShuttingDown, "SHUTTING_DOWN", SERVICE_UNAVAILABLE, Again,
        "Shutting down", "종료 중",
        "This server is shutting down. Nothing happened.", "서버가 종료 중입니다. 아무 일도 일어나지 않았습니다.";
    VerificationRunning, "VERIFICATION_RUNNING", SERVICE_UNAVAILABLE, Again,
        "Verification running", "장부 검증 중",
        "The books are still being verified. Ask again after Retry-After for the outcome of the same verification.",
        "장부를 아직 검증하고 있습니다. Retry-After 뒤에 다시 요청하면 같은 검증의 결과를 받습니다.";
    NotReady, "NOT_READY", SERVICE_UNAVAILABLE, Again,
        "Not ready", "준비되지 않음",
        "This server takes no requests now.", "이 서버는 지금 요청을 받지 않습니다.";
}
