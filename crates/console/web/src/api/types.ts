// Short names of the API's types.
import type { components } from './document'

type Schemas = components['schemas']

export type Campaign = Schemas['CampaignResponse']
export type Coupon = Schemas['CouponResponse']
export type Discount = Schemas['DiscountResponse']
export type AuditEntry = Schemas['AuditEntryResponse']
export type DeliveryEvent = Schemas['EventResponse']
export type Order = Schemas['OrderResponse']
export type OrderLine = Schemas['OrderLineResponse']
export type OrderStatus = Schemas['OrderStatusName']
export type PointEntry = Schemas['PointEntryResponse']
export type Product = Schemas['ProductResponse']
export type ProductChange = Schemas['ChangeProductRequest']
/** A row of an import. */
export type ProductRow = Schemas['ProductRow']
export type ProductStatus = Schemas['ProductStatusName']
export type Quote = Schemas['QuoteResponse']
export type ShopSettings = Schemas['ShopResponse']
export type StockMovement = Schemas['StockMovementResponse']
export type TimelineEntry = Schemas['TimelineEntry']
export type Verification = Schemas['VerificationRunResponse']

export interface List<T> {
  data: T[]
  next_cursor?: string | null
}
