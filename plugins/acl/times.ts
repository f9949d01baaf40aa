// The time windows of a rule: `mon-fri 08:00-18:00 Europe/Berlin`; days, hours or the zone may be left out.

export interface TimeWindow {
  /** By day of the week, Sunday first. */
  readonly days: readonly boolean[]
  /** Minutes of the day; `to` is not part of it. With `from` after `to` it goes on to the next day. */
  readonly from: number
  readonly to: number
  /** Undefined: the zone of the machine. */
  readonly zone: Intl.DateTimeFormat | undefined
}

const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const dayMinutes = 24 * 60
const example = 'such as "mon-fri 08:00-18:00" or "sat,sun 22:00-06:00 Europe/Berlin"'

/** A window, or why the text is none. */
export function parseTimes(text: string): TimeWindow | string {
  const words = text.trim().split(/\s+/)
  const days = /^[a-z]{3}([-,][a-z]{3})*$/i.test(words[0]!) ? parseDays(words.shift()!.toLowerCase()) : undefined
  if (days === 'wrong') return `"${text}" is no time window, ${example}: days are ${dayNames.join(', ')}`
  const hours = /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(words[0] ?? '')
  if (hours !== null) words.shift()
  if ((days === undefined && hours === null) || words.length > 1) return `"${text}" is no time window, ${example}`
  if (words[0] !== undefined && /^\d/.test(words[0])) return `"${text}" is no time window, ${example}`
  const zone = words[0] === undefined ? undefined : parseZone(words[0])
  if (zone === 'wrong') return `"${words[0]}" is no time zone, such as UTC or Europe/Berlin`
  const [from, to] = hours === null ? [0, dayMinutes] : [minutes(hours[1]!, hours[2]!), minutes(hours[3]!, hours[4]!)]
  if (from === undefined || to === undefined || from === to || from === dayMinutes) {
    return `"${text}" is no time window: it goes from 00:00 to 24:00, and begins and ends at different times`
  }
  return { days: days ?? dayNames.map(() => true), from, to, zone }
}

export function isOpen({ days, from, to, zone }: TimeWindow, atMs: number): boolean {
  const { day, minute } = zone === undefined ? here(atMs) : inZone(zone, atMs)
  if (from < to) return days[day]! && minute >= from && minute < to
  // The part after midnight belongs to the day on which the window began.
  return minute >= from ? days[day]! : minute < to && days[(day + 6) % 7]!
}

function parseDays(text: string): boolean[] | 'wrong' {
  const chosen = dayNames.map(() => false)
  for (const range of text.split(',')) {
    const [first, last = first, ...more] = range.split('-').map((name) => dayNames.indexOf(name))
    if (first === -1 || last === -1 || more.length > 0) return 'wrong'
    for (let day = first!; ; day = (day + 1) % 7) {
      chosen[day] = true
      if (day === last) break
    }
  }
  return chosen
}

function minutes(hour: string, minute: string): number | undefined {
  const sum = Number(hour) * 60 + Number(minute)
  return Number(minute) < 60 && sum <= dayMinutes ? sum : undefined
}

function parseZone(name: string): Intl.DateTimeFormat | 'wrong' {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
  } catch (error) {
    if (error instanceof RangeError) return 'wrong'
    throw error
  }
}

function here(atMs: number): { day: number; minute: number } {
  const date = new Date(atMs)
  return { day: date.getDay(), minute: date.getHours() * 60 + date.getMinutes() }
}

function inZone(zone: Intl.DateTimeFormat, atMs: number): { day: number; minute: number } {
  const parts = new Map(zone.formatToParts(atMs).map(({ type, value }) => [type, value]))
  return {
    day: dayNames.indexOf(parts.get('weekday')!.toLowerCase()),
    minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
  }
}
