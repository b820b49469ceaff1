// Times of the shop: instants on the wire, days and hours in its time zone for people.

/** Minutes by which the zone's clocks are ahead of UTC at that instant. */
function offset(instant: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(instant)
  const part = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((found) => found.type === type)?.value)
  const clock = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'))
  return Math.round((clock - Math.floor(instant / 1000) * 1000) / 60_000)
}

/** The instant at which the zone's clocks show that date and time, as `2026-11-30T09:00` of an input. */
export function instantOf(local: string, zone: string): string {
  const clock = Date.parse(`${local}Z`)
  // Twice, as the offset at the first guess may be that of the other side of a change of clocks.
  let instant = clock - offset(clock, zone) * 60_000
  instant = clock - offset(instant, zone) * 60_000
  return new Date(instant).toISOString()
}

/** The value of an input of date and time. */
export function localOf(instant: string | number, zone: string): string {
  const time = typeof instant === 'number' ? instant : Date.parse(instant)
  return new Date(time + offset(time, zone) * 60_000).toISOString().slice(0, 16)
}

/** Midnight of the day, `days` before today in the zone. */
export function startOfDay(zone: string, days = 0, now = Date.now()): string {
  const today = localOf(now, zone).slice(0, 10)
  const day = new Date(Date.parse(`${today}T00:00Z`) - days * 86_400_000).toISOString().slice(0, 10)
  return instantOf(`${day}T00:00`, zone)
}
