import { expect, test } from 'vitest'
import { instantOf, localOf, startOfDay } from '../../src/lib/time'

test.each([
  ['2026-11-30T09:00', 'Asia/Seoul', '2026-11-30T00:00:00.000Z'],
  ['2026-07-01T09:00', 'Europe/Berlin', '2026-07-01T07:00:00.000Z'],
  ['2026-10-25T04:00', 'Europe/Berlin', '2026-10-25T03:00:00.000Z'],
  ['2026-03-29T01:30', 'Europe/Berlin', '2026-03-29T00:30:00.000Z'],
  ['2026-11-30T05:45', 'Asia/Kathmandu', '2026-11-30T00:00:00.000Z'],
])('%s in %s', (local, zone, instant) => {
  expect(instantOf(local, zone)).toBe(instant)
  expect(localOf(instant, zone)).toBe(local)
})

test('a day begins at midnight of the shop', () => {
  const now = Date.parse('2026-11-30T16:00:00Z')
  expect(startOfDay('Asia/Seoul', 0, now)).toBe('2026-11-30T15:00:00.000Z')
  expect(startOfDay('Asia/Seoul', 6, now)).toBe('2026-11-24T15:00:00.000Z')
  expect(startOfDay('UTC', -1, now)).toBe('2026-12-01T00:00:00.000Z')
})
