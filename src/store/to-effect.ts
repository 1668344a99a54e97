import { toBytes } from '../protocol/index.ts'
import type { Effect, Op } from './effect.ts'
import { EffectError } from './errors.ts'

/** A step goes in one request, of which Upstash takes 1 MB, the script and some numbers included. */
const MOST_BYTES = 850_000

/** The script unpacks the arguments of a step, and Lua no more than some 8,000 (`LUAI_MAXCSTACK`). */
const MOST_ARGUMENTS = 7_000

/** A character takes no more bytes in JSON: `\u0000`. */
const MOST_BYTES_EACH = 6

/**
 * Steps as an effect. What no request can carry is refused here, for its own notification: in the commit it would hold up all others of
 * its batch. @throws EffectError
 */
export function toEffect(ops: readonly Op[]): Effect {
  for (const op of ops) {
    if (op.length > MOST_ARGUMENTS)
      throw new EffectError('the notification has more fields than the read model accepts')
    const length = op.reduce((sum, text) => sum + text.length, 0)
    // Measured only where it may be too much.
    if (length * MOST_BYTES_EACH > MOST_BYTES && toBytes(JSON.stringify(op)).length > MOST_BYTES)
      throw new EffectError('the notification is larger than the read model accepts')
  }
  return { ops }
}
