import type { Random } from './random.ts'

type NotAnswered = 'unanswered' | 'rejected' | 'failed'

/** What becomes of a number that is tried. `answered`: a person who wants to talk to an agent. */
export type Outcome =
  | { readonly kind: 'answered'; readonly ringMs: number }
  | {
      readonly kind: NotAnswered
      readonly ringMs: number
      readonly endReason: string
      readonly endCode: number
      /** How long (s) something was heard: a voice mail's greeting. */
      readonly callTime: number
    }

type Kind = { readonly weight: number; readonly make: (random: Random) => Outcome }

const ended =
  (kind: NotAnswered, endReason: string, codes: readonly number[], ringMs: readonly [number, number]) =>
  (random: Random): Outcome => ({
    kind,
    endReason,
    endCode: random.pick(codes),
    ringMs: random.between(...ringMs),
    callTime: endReason === 'voicemail' ? random.whole(3, 20) : 0,
  })

/** In per cent. Four of five tries reach nobody: that is why a dialler dials ahead. Codes: Q.850, as the vendor's page CDR maps them. */
const KINDS: readonly Kind[] = [
  { weight: 23, make: (random) => ({ kind: 'answered', ringMs: random.between(2_500, 18_000) }) },
  { weight: 31, make: ended('unanswered', 'timeout', [18, 18, 18, 102], [20_000, 30_000]) },
  { weight: 17, make: ended('unanswered', 'voicemail', [16], [9_000, 22_000]) },
  { weight: 10, make: ended('unanswered', 'busy', [17], [800, 4_000]) },
  { weight: 9, make: ended('rejected', 'reject', [21, 21, 19, 22], [2_000, 12_000]) },
  { weight: 6, make: ended('failed', 'error', [34, 28, 42, 38, 41], [300, 2_000]) },
  { weight: 4, make: ended('failed', 'failed', [1, 27], [500, 5_000]) },
]

const TOTAL = KINDS.reduce((sum, { weight }) => sum + weight, 0)

export function pickOutcome(random: Random): Outcome {
  let point = random.between(0, TOTAL)
  for (const { weight, make } of KINDS) {
    if (point < weight) return make(random)
    point -= weight
  }
  return (KINDS[0] as Kind).make(random)
}

/** How a talk ended: who hung up. Q.850 code 16, normal clearing. */
export function pickTalkEnd(random: Random): string {
  const point = random.next()
  return point < 0.3 ? 'hungup' : point < 0.75 ? 'callee_hungup' : 'agent_hungup'
}
