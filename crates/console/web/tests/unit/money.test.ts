import { describe, expect, test } from 'vitest'
import { discountOf, fromUnits, refundOf, toUnits } from '../../src/lib/money'

test.each([
  ['12000', 'KRW', 12000n],
  ['19.99', 'USD', 1999n],
  ['-0.5', 'USD', -50n],
  ['20.000', 'USD', 2000n],
  ['9007199254740993.01', 'USD', 900719925474099301n],
])('%s %s is read exactly', (text, currency, units) => {
  expect(toUnits(text, currency)).toBe(units)
  expect(toUnits(fromUnits(units, currency), currency)).toBe(units)
})

test.each(['', '12,000', '1e3', '12.5 ', '0x1', '1.234'])('%j is no amount of USD', (text) => {
  expect(() => toUnits(text, 'USD')).toThrow(RangeError)
})

describe('a refund', () => {
  const line = { quantity: 3, refunded_quantity: 0, line_total: '100', discount_share: '0' }

  test('is rounded down, and the last item has the rest', () => {
    const steps = [0, 1, 2].map((refunded_quantity) => refundOf({ ...line, refunded_quantity }, 1, 'KRW'))
    expect(steps).toEqual([33n, 33n, 34n])
  })

  test('of everything is what was paid', () => {
    expect(refundOf({ ...line, discount_share: '7' }, 3, 'KRW')).toBe(93n)
  })
})

describe('a discount', () => {
  test.each([
    [{ kind: 'fixed', amount: '5000' }, '3000', 3000n],
    [{ kind: 'fixed', amount: '5000' }, '30000', 5000n],
    [{ kind: 'percent', percent: 10 }, '12345', 1235n],
    [{ kind: 'percent', percent: 10 }, '12344', 1234n],
    [{ kind: 'percent', percent: 50, cap: '1000' }, '30000', 1000n],
    [{ kind: 'percent', percent: 50, min_order_amount: '30001' }, '30000', 0n],
  ] as const)('%j of %s', (terms, total, units) => expect(discountOf(terms, total, 'KRW')).toBe(units))
})
