//! The table of all problems: stable code, status, retryability, and the texts in English and Korean.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Response};
use utoipa::{PartialSchema, ToSchema};

/// The languages of problem texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Also for callers that accept neither language.
    English,
    #[expect(missing_docs, reason = "the variant is named after its language")]
    Korean,
}

impl Language {
    /// The tag of BCP 47.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }
}

/// A text in each [`Language`].
#[derive(Debug)]
pub struct Wording {
    english: &'static str,
    korean: &'static str,
}

impl Wording {
    /// The text in that language.
    pub fn in_language(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Korean => self.korean,
        }
    }
}

/// A row of the table of problems.
#[derive(Debug)]
#[expect(missing_docs, reason = "the status is that of HTTP")]
pub struct ProblemKind {
    /// The stable name, in UPPER_SNAKE.
    pub code: &'static str,
    pub status: StatusCode,
    /// Whether an identical request may succeed later.
    pub retryable: bool,
    /// Of a status without a more specific meaning, the registered phrase.
    pub title: Wording,
    /// The cause and the remedy, in one or two sentences.
    pub detail: Wording,
}

macro_rules! problem_codes {
    ($($variant:ident, $code:literal, $status:ident, $retry:ident,
       $title_en:literal, $title_ko:literal, $detail_en:literal, $detail_ko:literal;)*) => {
        /// The code of a problem. Codes are added, never renamed.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[expect(missing_docs, reason = "the table describes each")]
        pub enum ProblemCode { $($variant,)* }

        impl ProblemCode {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The row of the table.
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

        /// Each code as a type, for the `responses(...)` of `utoipa::path`.
        #[expect(missing_docs, reason = "the table describes each")]
        pub mod documented {
            $(
                pub enum $variant {}

                impl utoipa::IntoResponses for $variant {
                    fn responses() -> super::ResponseMap {
                        super::declare(super::ProblemCode::$variant)
                    }
                }
            )*
        }
    };
}

/// In the table: a retryable problem.
struct Again;
/// In the table: an identical request fails again.
struct Final;

impl Again {
    const IS: bool = true;
}

impl Final {
    const IS: bool = false;
}

/// Responses of an operation by status, or by the code of a problem.
pub type ResponseMap = BTreeMap<String, RefOr<Response>>;

/// The declaration of a problem by a handler: an empty response under the code in place of a status. The document turns
/// all codes of a status into one response.
fn declare(code: ProblemCode) -> ResponseMap {
    BTreeMap::from([(code.kind().code.to_owned(), Response::default().into())])
}

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.kind().code)))
            .description(Some("The stable name of a problem. Codes are added, never renamed."))
            .into()
    }
}

impl ToSchema for ProblemCode {}

problem_codes! {
    BadRequest, "BAD_REQUEST", BAD_REQUEST, Final,
        "Bad Request", "잘못된 요청",
        "The server could not parse the request.", "요청을 해석할 수 없습니다.";
    MalformedJson, "MALFORMED_JSON", BAD_REQUEST, Final,
        "Malformed JSON", "잘못된 JSON",
        "The body is not a single JSON value in UTF-8, or its nesting is too deep.",
        "본문이 UTF-8로 인코딩된 단일 JSON 값이 아니거나 중첩이 너무 깊습니다.";
    InvalidBody, "INVALID_BODY", BAD_REQUEST, Final,
        "Invalid body", "유효하지 않은 본문",
        "The fields in `errors` are missing, unknown or invalid.",
        "`errors`의 필드가 누락되었거나, 정의되지 않았거나, 유효하지 않습니다.";
    InvalidQuery, "INVALID_QUERY", BAD_REQUEST, Final,
        "Invalid query", "유효하지 않은 쿼리",
        "The query parameters in `errors` are unknown or invalid.",
        "`errors`의 쿼리 매개변수가 정의되지 않았거나 유효하지 않습니다.";
    InvalidCursor, "INVALID_CURSOR", BAD_REQUEST, Final,
        "Invalid cursor", "유효하지 않은 커서",
        "The cursor does not belong to this list with these filters. Start again without a cursor.",
        "이 목록과 필터 조건에서 발급한 커서가 아닙니다. 커서 없이 처음부터 조회하세요.";
    InvalidIdempotencyKey, "INVALID_IDEMPOTENCY_KEY", BAD_REQUEST, Final,
        "Invalid Idempotency-Key", "유효하지 않은 Idempotency-Key",
        "Send one Idempotency-Key of 1 to 255 printable ASCII characters, bare or quoted.",
        "Idempotency-Key는 출력 가능한 ASCII 문자 1~255자로 한 번만 보내야 합니다.";
    IdempotencyKeyRequired, "IDEMPOTENCY_KEY_REQUIRED", BAD_REQUEST, Final,
        "Idempotency-Key required", "Idempotency-Key 필요",
        "This shop requires an Idempotency-Key for writes.", "쓰기 요청에는 Idempotency-Key가 필요합니다.";
    InvalidIfMatch, "INVALID_IF_MATCH", BAD_REQUEST, Final,
        "Invalid If-Match", "유효하지 않은 If-Match",
        "Send one If-Match: the version in quotes, such as \"3\", or *.",
        "If-Match는 \"3\"처럼 따옴표로 묶은 버전이나 *를 한 번만 보내야 합니다.";
    AmountNotPositive, "AMOUNT_NOT_POSITIVE", BAD_REQUEST, Final,
        "Amount not positive", "0 이하의 금액",
        "The amount must be greater than zero.", "금액은 0보다 커야 합니다.";
    AmountTooPrecise, "AMOUNT_TOO_PRECISE", BAD_REQUEST, Final,
        "Amount too precise", "금액의 소수 자릿수 초과",
        "The amount has more decimals than the shop's currency. Amounts are never rounded.",
        "금액의 소수 자릿수가 쇼핑몰 통화의 자릿수보다 많습니다. 금액은 반올림하지 않습니다.";
    EmptyOrder, "EMPTY_ORDER", BAD_REQUEST, Final,
        "Empty order", "빈 주문",
        "The request needs at least one line.", "주문 항목이 하나 이상 있어야 합니다.";
    InvalidQuantity, "INVALID_QUANTITY", BAD_REQUEST, Final,
        "Invalid quantity", "유효하지 않은 수량",
        "A quantity is less than 1 or above the shop's limit, or the request has too many lines.",
        "수량이 1보다 작거나 한도를 넘거나, 주문 항목이 너무 많습니다.";
    Unauthenticated, "UNAUTHENTICATED", UNAUTHORIZED, Final,
        "Unauthorized", "인증 필요",
        "A valid bearer token is required.", "유효한 Bearer 토큰이 필요합니다.";
    Forbidden, "FORBIDDEN", FORBIDDEN, Final,
        "Forbidden", "권한 없음",
        "The token lacks the scope `admin`.", "토큰에 `admin` 스코프가 없습니다.";
    NotFound, "NOT_FOUND", NOT_FOUND, Final,
        "Not Found", "찾을 수 없음",
        "No resource exists at this path.", "요청한 경로를 찾을 수 없습니다.";
    UserNotFound, "USER_NOT_FOUND", NOT_FOUND, Final,
        "User not found", "사용자를 찾을 수 없음",
        "The user does not exist, or is not the caller.", "존재하지 않거나 접근할 수 없는 사용자입니다.";
    ProductNotFound, "PRODUCT_NOT_FOUND", NOT_FOUND, Final,
        "Product not found", "상품을 찾을 수 없음",
        "The product does not exist.", "존재하지 않는 상품입니다.";
    CampaignNotFound, "CAMPAIGN_NOT_FOUND", NOT_FOUND, Final,
        "Campaign not found", "캠페인을 찾을 수 없음",
        "The coupon campaign does not exist.", "존재하지 않는 쿠폰 캠페인입니다.";
    CouponNotFound, "COUPON_NOT_FOUND", NOT_FOUND, Final,
        "Coupon not found", "쿠폰을 찾을 수 없음",
        "The coupon does not exist, or belongs to another user.", "존재하지 않거나 다른 사용자의 쿠폰입니다.";
    EventNotFound, "EVENT_NOT_FOUND", NOT_FOUND, Final,
        "Event not found", "이벤트를 찾을 수 없음",
        "The event does not exist.", "존재하지 않는 이벤트입니다.";
    OrderNotFound, "ORDER_NOT_FOUND", NOT_FOUND, Final,
        "Order not found", "주문을 찾을 수 없음",
        "The order does not exist, or belongs to another user.", "존재하지 않거나 다른 사용자의 주문입니다.";
    VerificationNotFound, "VERIFICATION_NOT_FOUND", NOT_FOUND, Final,
        "Verification not found", "장부 검증을 찾을 수 없음",
        "The verification does not exist, or its retention is over.", "존재하지 않거나 보존 기간이 지난 장부 검증입니다.";
    MethodNotAllowed, "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, Final,
        "Method Not Allowed", "허용되지 않은 메서드",
        "The path supports only the methods in the Allow header.", "이 경로는 Allow 헤더의 메서드만 지원합니다.";
    NotAcceptable, "NOT_ACCEPTABLE", NOT_ACCEPTABLE, Final,
        "Not Acceptable", "제공할 수 없는 형식",
        "Responses are application/json, which the Accept header excludes.",
        "응답 형식은 application/json이지만 Accept 헤더가 허용하지 않습니다.";
    RequestTimeout, "REQUEST_TIMEOUT", REQUEST_TIMEOUT, Again,
        "Request Timeout", "요청 시간 초과",
        "The body did not arrive before the deadline.", "제한 시간 안에 본문이 도착하지 않았습니다.";
    TopUpLimitExceeded, "TOP_UP_LIMIT_EXCEEDED", CONFLICT, Final,
        "Top-up limit exceeded", "1회 충전 한도 초과",
        "A single top-up is limited to `top_up_max`.", "1회 충전 한도는 `top_up_max`입니다.";
    BalanceLimitExceeded, "BALANCE_LIMIT_EXCEEDED", CONFLICT, Final,
        "Balance limit exceeded", "보유 한도 초과",
        "The balance cannot exceed `balance_max`.", "잔액은 `balance_max`를 넘을 수 없습니다.";
    InsufficientPoints, "INSUFFICIENT_POINTS", CONFLICT, Final,
        "Insufficient points", "포인트 부족",
        "The `balance` is lower than the `required` amount.", "잔액(`balance`)이 필요한 금액(`required`)보다 적습니다.";
    ProductNotOnSale, "PRODUCT_NOT_ON_SALE", CONFLICT, Final,
        "Product not on sale", "판매 중이 아닌 상품",
        "The product is hidden or discontinued.", "현재 판매 중인 상품이 아닙니다.";
    OutOfStock, "OUT_OF_STOCK", CONFLICT, Final,
        "Out of stock", "재고 부족",
        "The stock of the products in `shortages` is lower than the requested quantity.",
        "`shortages`의 상품은 재고가 요청 수량보다 적습니다.";
    StockLimitExceeded, "STOCK_LIMIT_EXCEEDED", CONFLICT, Final,
        "Stock limit exceeded", "재고 한도 초과",
        "The stock would exceed its maximum.", "재고가 최대 수량을 넘습니다.";
    SkuTaken, "SKU_TAKEN", CONFLICT, Final,
        "SKU taken", "이미 사용 중인 SKU",
        "The product `product_id` has the SKU `sku`. Each product needs its own.",
        "상품 `product_id`이(가) 이미 SKU `sku`을(를) 사용하고 있습니다. SKU는 상품마다 달라야 합니다.";
    PriceChanged, "PRICE_CHANGED", CONFLICT, Final,
        "Price changed", "가격 변경",
        "The order total is `total`, not `expected_total`.", "주문 금액은 `expected_total`이 아니라 `total`입니다.";
    TooManyOpenOrders, "TOO_MANY_OPEN_ORDERS", CONFLICT, Final,
        "Too many open orders", "미결제 주문 한도 초과",
        "A user can have at most `open_orders_max` unpaid orders. Pay or cancel one first.",
        "미결제 주문은 최대 `open_orders_max`건입니다. 먼저 결제하거나 취소하세요.";
    TooManyUnpaidOrders, "TOO_MANY_UNPAID_ORDERS", CONFLICT, Final,
        "Too many unpaid orders today", "하루 미결제 주문 한도 초과",
        "A user can place at most `unpaid_orders_max` orders a day without paying them. Try again tomorrow.",
        "결제하지 않는 주문은 하루 최대 `unpaid_orders_max`건입니다. 내일 다시 시도하세요.";
    ReservationLimitExceeded, "RESERVATION_LIMIT_EXCEEDED", CONFLICT, Final,
        "Reservation limit exceeded", "예약 수량 한도 초과",
        "Unpaid orders of a user can reserve at most `reserved_quantity_max` items; `reserved` are reserved, and \
         `requested_quantity` more are ordered. Pay or cancel an order first.",
        "미결제 주문으로 예약할 수 있는 수량은 최대 `reserved_quantity_max`개입니다. 이미 `reserved`개가 예약되어 있고 \
         `requested_quantity`개를 더 주문했습니다. 먼저 결제하거나 취소하세요.";
    CampaignNotOpen, "CAMPAIGN_NOT_OPEN", CONFLICT, Final,
        "Campaign not open", "발급 시작 전",
        "Coupon issuance opens at `issue_opens_at`.", "쿠폰 발급은 `issue_opens_at`에 시작됩니다.";
    CampaignClosed, "CAMPAIGN_CLOSED", CONFLICT, Final,
        "Campaign closed", "발급 종료",
        "Coupon issuance closed at `issue_closes_at`.", "쿠폰 발급은 `issue_closes_at`에 종료되었습니다.";
    CouponAlreadyIssued, "COUPON_ALREADY_ISSUED", CONFLICT, Final,
        "Coupon already issued", "이미 발급된 쿠폰",
        "The user already received a coupon of this campaign. The limit is one per user.",
        "이 캠페인의 쿠폰을 이미 발급받았습니다. 1인 1매입니다.";
    CouponSoldOut, "COUPON_SOLD_OUT", CONFLICT, Final,
        "Coupons sold out", "쿠폰 소진",
        "All coupons of this campaign are issued.", "이 캠페인의 쿠폰이 모두 발급되었습니다.";
    CouponNotUsable, "COUPON_NOT_USABLE", CONFLICT, Final,
        "Coupon not usable", "사용할 수 없는 쿠폰",
        "The coupon cannot be used; see `reason`.", "쿠폰을 사용할 수 없습니다. 사유는 `reason`을 확인하세요.";
    CampaignQuantityLowered, "CAMPAIGN_QUANTITY_LOWERED", CONFLICT, Final,
        "Campaign quantity lowered", "캠페인 수량 감소",
        "The quantity of a campaign cannot be lower than `quantity`.",
        "캠페인 수량은 `quantity`보다 작게 변경할 수 없습니다.";
    CampaignClosingPostponed, "CAMPAIGN_CLOSING_POSTPONED", CONFLICT, Final,
        "Campaign closing postponed", "캠페인 종료 연기",
        "A campaign cannot close later than `issue_closes_at`.",
        "캠페인 종료 시각은 `issue_closes_at`보다 늦출 수 없습니다.";
    OrderExpired, "ORDER_EXPIRED", CONFLICT, Final,
        "Order expired", "만료된 주문",
        "The payment deadline of the order has passed.", "결제 기한이 지난 주문입니다.";
    OrderAlreadyCancelled, "ORDER_ALREADY_CANCELLED", CONFLICT, Final,
        "Order already cancelled", "이미 취소된 주문",
        "The order is already cancelled or fully refunded.", "이미 취소되었거나 전액 환불된 주문입니다.";
    OrderNotDue, "ORDER_NOT_DUE", CONFLICT, Final,
        "Order not due", "만료 대상이 아닌 주문",
        "The order is not due to expire.", "만료 대상이 아닌 주문입니다.";
    OrderAlreadyPaid, "ORDER_ALREADY_PAID", CONFLICT, Final,
        "Order already paid", "이미 결제된 주문",
        "The order is already paid.", "이미 결제된 주문입니다.";
    OrderCancelled, "ORDER_CANCELLED", CONFLICT, Final,
        "Order cancelled", "취소된 주문",
        "A cancelled order cannot be paid.", "취소된 주문은 결제할 수 없습니다.";
    OrderNotPaid, "ORDER_NOT_PAID", CONFLICT, Final,
        "Order not paid", "결제되지 않은 주문",
        "Only a paid order can be refunded.", "결제된 주문만 환불할 수 있습니다.";
    RefundTooLarge, "REFUND_TOO_LARGE", CONFLICT, Final,
        "Refund too large", "환불 수량 초과",
        "The refundable quantity of `product_id` is `refundable`, less than `requested`.",
        "`product_id`의 환불 가능 수량(`refundable`)이 요청 수량(`requested`)보다 적습니다.";
    VerificationAlreadyRunning, "VERIFICATION_ALREADY_RUNNING", CONFLICT, Again,
        "Verification already running", "이미 진행 중인 장부 검증",
        "The verification `verification_id` is running. One runs at a time in all servers.",
        "장부 검증(`verification_id`)이 진행 중입니다. 모든 서버에서 한 번에 하나만 실행합니다.";
    RequestInProgress, "REQUEST_IN_PROGRESS", CONFLICT, Again,
        "Request in progress", "처리 중인 요청",
        "The first request with this Idempotency-Key is still running.",
        "같은 Idempotency-Key를 사용한 첫 요청이 아직 처리 중입니다.";
    PreconditionFailed, "PRECONDITION_FAILED", PRECONDITION_FAILED, Final,
        "Precondition Failed", "버전 불일치",
        "The current version is `version`, not that of If-Match. Read the resource again before the change.",
        "현재 버전은 If-Match의 버전이 아니라 `version`입니다. 다시 조회한 뒤 변경하세요.";
    BodyTooLarge, "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, Final,
        "Content Too Large", "본문 크기 초과",
        "The body is limited to 256 KiB, and to 1 MiB for rows of products.",
        "본문은 최대 256KiB이고, 상품 일괄 등록은 1MiB입니다.";
    UnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, Final,
        "Unsupported Media Type", "지원하지 않는 미디어 타입",
        "Send the body as uncompressed application/json in UTF-8.",
        "본문은 압축하지 않은 UTF-8 application/json으로 보내세요.";
    IdempotencyKeyReused, "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, Final,
        "Idempotency-Key reused", "재사용된 Idempotency-Key",
        "The Idempotency-Key belongs to another request. Use a new key for each request.",
        "다른 요청에 사용된 Idempotency-Key입니다. 요청마다 새 키를 사용하세요.";
    RateLimited, "RATE_LIMITED", TOO_MANY_REQUESTS, Again,
        "Too Many Requests", "요청 한도 초과",
        "The caller exceeded the rate limit. Wait for the seconds in Retry-After.",
        "요청 한도를 넘었습니다. Retry-After의 시간(초)만큼 기다리세요.";
    HeadersTooLarge, "HEADERS_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, Final,
        "Request Header Fields Too Large", "요청 헤더 크기 초과",
        "The head of a request is limited to 16 KiB.", "요청 헤더는 최대 16KiB입니다.";
    InternalError, "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, Final,
        "Internal Server Error", "내부 서버 오류",
        "An unexpected error occurred. The logs contain the request id.",
        "예상하지 못한 오류가 발생했습니다. 요청 ID로 로그를 찾을 수 있습니다.";
    DatabaseUnavailable, "DATABASE_UNAVAILABLE", SERVICE_UNAVAILABLE, Again,
        "Database unavailable", "데이터베이스 사용 불가",
        "The database is unreachable or busy. The request had no effect.",
        "데이터베이스에 연결할 수 없거나 부하가 높습니다. 요청은 처리되지 않았습니다.";
    OutcomeUnknown, "OUTCOME_UNKNOWN", SERVICE_UNAVAILABLE, Final,
        "Outcome unknown", "처리 결과 불명",
        "The request may have taken effect. A retry with the same Idempotency-Key takes effect at most once.",
        "요청이 처리되었는지 확인할 수 없습니다. 같은 Idempotency-Key로 재시도하면 한 번만 처리됩니다.";
    Overloaded, "OVERLOADED", SERVICE_UNAVAILABLE, Again,
        "Overloaded", "과부하",
        "The queue is too long to serve the request in time. The request had no effect.",
        "대기열이 길어 제시간에 처리할 수 없습니다. 요청은 처리되지 않았습니다.";
    ShuttingDown, "SHUTTING_DOWN", SERVICE_UNAVAILABLE, Again,
        "Shutting down", "종료 중",
        "This server is shutting down. The request had no effect.", "서버가 종료 중입니다. 요청은 처리되지 않았습니다.";
    VerificationRunning, "VERIFICATION_RUNNING", SERVICE_UNAVAILABLE, Again,
        "Verification running", "장부 검증 중",
        "The verification of the books is still running. Request its outcome again after Retry-After.",
        "장부 검증이 아직 진행 중입니다. Retry-After 이후 다시 요청하면 검증 결과를 받습니다.";
    NotReady, "NOT_READY", SERVICE_UNAVAILABLE, Again,
        "Not ready", "준비되지 않음",
        "This server does not accept requests at present.", "이 서버는 현재 요청을 받지 않습니다.";
}
