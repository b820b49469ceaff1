// Exact sums of money, in the currency's smallest unit. No amount ever is a floating-point number.

/** The decimals of the currency. */
export function decimalsOf(currency: string): number {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 0
}

export function toUnits(amount: string, currency: string): bigint {
  const decimals = decimalsOf(currency)
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(amount) ?? []
  if (whole === undefined) throw new RangeError('no amount')
  const rest = fraction.slice(decimals)
  if (/[1-9]/.test(rest)) throw new RangeError('more decimals than the currency has')
  const units = BigInt(whole + fraction.slice(0, decimals).padEnd(decimals, '0'))
  return sign === '-' ? -units : units
}

export function fromUnits(units: bigint, currency: string): string {
  const decimals = decimalsOf(currency)
  const digits = String(units < 0n ? -units : units).padStart(decimals + 1, '0')
  const cut = digits.length - decimals
  const text = decimals ? `${digits.slice(0, cut)}.${digits.slice(cut)}` : digits
  return units < 0n ? `-${text}` : text
}

export interface Line {
  quantity: number
  refunded_quantity: number
  line_total: string
  discount_share: string
}

/** The refund of the next `quantity` items of a line, as the server computes it: cumulative, rounded down, and the rest
 * with the last item. */
export function refundOf(line: Line, quantity: number, currency: string): bigint {
  const paid = toUnits(line.line_total, currency) - toUnits(line.discount_share, currency)
  const upTo = (items: number) => (paid * BigInt(items)) / BigInt(line.quantity)
  return upTo(line.refunded_quantity + quantity) - upTo(line.refunded_quantity)
}

export interface Terms {
  kind: 'fixed' | 'percent'
  amount?: string
  percent?: number
  cap?: string
  min_order_amount?: string
}

/** The discount on an order of that total: at most the total, percentages rounded half up. */
export function discountOf(terms: Terms, total: string, currency: string): bigint {
  const units = toUnits(total, currency)
  if (terms.min_order_amount && units < toUnits(terms.min_order_amount, currency)) return 0n
  if (terms.kind === 'fixed') {
    const amount = toUnits(terms.amount ?? '0', currency)
    return amount < units ? amount : units
  }
  const share = (units * BigInt(terms.percent ?? 0) * 2n + 100n) / 200n
  const cap = terms.cap ? toUnits(terms.cap, currency) : share
  return share < cap ? share : cap
}
