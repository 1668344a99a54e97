import { parseDocument } from '../document.ts'

/** Tells which state is from before a gap of PubSub, and so may have changed unheard. */
export type GapMarks = {
  /** A state with this stamp, which the given route feeds. A state that came by a list is never unsure: a list loses nothing. */
  coverState: (stamp: string, route: string) => boolean
  /** A current call with this stamp. That it ended is told by PubSub too, however it came itself. */
  coverCall: (stamp: string) => boolean
}

/** The document of the greatest gap of each source. */
export const gapsKey = (prefix: string): string => `${prefix}gap_latest`

/** Of the document under `gapsKey`: by source, or by source and route where only that was given up: `sequence|unix ms`. */
export function toGapMarks(text: unknown): GapMarks {
  const latest = parseDocument(text)
  const isBefore = (stamp: string, fields: (source: string) => string[]) => {
    const [source = '', transport, sequence = '', ms = ''] = stamp.split('|')
    return fields(source).some((field) => {
      const [gapSequence = '', gapMs = ''] = latest.get(field)?.split('|') ?? []
      return transport === 'pubsub' ? sequence < gapSequence : Number(ms) < Number(gapMs)
    })
  }
  return {
    coverState: (stamp, route) =>
      stamp !== '' && stamp.split('|')[1] !== 'list' && isBefore(stamp, (source) => [source, `${source}|${route}`]),
    coverCall: (stamp) => isBefore(stamp, (source) => [source, `${source}|agents-status`, `${source}|agents-call`]),
  }
}
