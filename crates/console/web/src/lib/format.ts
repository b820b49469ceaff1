// Numbers, money and times in the reader's language, and in the shop's time zone.
import { language } from './i18n.svelte'
import { shop } from './shop.svelte'

export const number = (value: number | bigint) => new Intl.NumberFormat(language.current).format(value)

/** An amount as the API has it, which the formatter reads exactly. */
export const money = (amount: string, currency = shop.currency) =>
  new Intl.NumberFormat(language.current, { style: 'currency', currency }).format(amount as Intl.StringNumericLiteral)

/** With a sign in front, for movements of money. */
export const signedMoney = (amount: string, currency = shop.currency) =>
  new Intl.NumberFormat(language.current, { style: 'currency', currency, signDisplay: 'exceptZero' }).format(
    amount as Intl.StringNumericLiteral,
  )

export const signed = (value: number) =>
  new Intl.NumberFormat(language.current, { signDisplay: 'exceptZero' }).format(value)

export const time = (instant: string) =>
  new Intl.DateTimeFormat(language.current, { dateStyle: 'medium', timeStyle: 'short', timeZone: shop.zone }).format(
    new Date(instant),
  )

/** With seconds and the zone's name, where the exact moment counts. */
export const exactTime = (instant: string) =>
  new Intl.DateTimeFormat(language.current, { dateStyle: 'full', timeStyle: 'long', timeZone: shop.zone }).format(
    new Date(instant),
  )

export const bucket = (instant: string, by: 'hour' | 'day') =>
  new Intl.DateTimeFormat(
    language.current,
    by === 'hour'
      ? { hour: 'numeric', hourCycle: 'h23', timeZone: shop.zone }
      : { month: 'numeric', day: 'numeric', timeZone: shop.zone },
  ).format(new Date(instant))

/** As `9:41`. */
export const countdown = (seconds: number) =>
  `${Math.floor(seconds / 60)}:${String(Math.max(0, seconds) % 60).padStart(2, '0')}`

/** As `red, M`. */
export const options = (values: Record<string, string>) => Object.values(values).join(', ')
