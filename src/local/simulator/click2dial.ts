import { click2DialCdr, inboundCall } from '../../producer/index.ts'
import { recordingUrl, seconds } from './calls.ts'
import type { Centre } from './centre.ts'
import { pickTalkEnd } from './outcomes.ts'
import { subscriberAt, toDialNumber } from './subscribers.ts'

/** Click2Dial: extensions outside the campaigns, who are called from outside or dial by hand. They have lists of their own. */

const LIST = 999
const REF = 'click2dial'
const SERVICE_NUMBER = '27100000100'

export function startClick2Dial(centre: Centre): void {
  const { random } = centre
  const extensions = Array.from({ length: Math.min(99, Math.max(2, Math.round(centre.agents.length / 20))) }, (_, at) =>
    String(801 + at),
  )
  let callers = 0
  for (const [at, extension] of extensions.entries()) {
    const call = () => {
      const inbound = random.chance(0.6)
      const endsInMs = talk(centre, extension, inbound || callers === 0, callers++)
      // The extension can have but one call at a time.
      centre.after(endsInMs + 5_000 + random.wait(60_000), call)
    }
    // The first one soon, so that the lists are seen at once.
    centre.after(at === 0 ? random.between(2_000, 4_000) : random.wait(40_000), call)
  }
}

/** One call, from the hand-over to its CDR; returns its length (ms). */
function talk(centre: Centre, extension: string, inbound: boolean, caller: number): number {
  const { random } = centre
  const callRef = centre.nextCallRef()
  const { contactRef, numbers } = subscriberAt(LIST, caller)
  const [number] = numbers
  const holdMs = random.between(1_000, 15_000)
  const talkMs = caller === 0 ? random.between(4_000, 6_000) : random.skewed(60_000, 0.8, 240_000)
  const dialedAtMs = centre.now() - holdMs
  const dialNumber = inbound ? SERVICE_NUMBER : toDialNumber(number)
  const who = {
    call_ref: callRef,
    contact_ref: contactRef,
    number,
    dial_number: dialNumber,
    hold_time: seconds(holdMs),
  }
  if (inbound) centre.emit(inboundCall({ ref: extension, agent: extension, ...who, call_dir: 'inbound' }))
  const startedAtMs = centre.now()
  const end = () => {
    if (!centre.sideCalls.delete(end)) return
    centre.emit(
      click2DialCdr({
        ref: REF,
        extension,
        ...who,
        dialed_at: centre.unixSeconds(dialedAtMs),
        end_reason: pickTalkEnd(random),
        end_code: 16,
        call_time: seconds(centre.now() - startedAtMs),
        call_dir: inbound ? 'inbound' : 'outbound',
        recording_url: recordingUrl(REF, callRef, number),
      }),
    )
  }
  centre.sideCalls.add(end)
  centre.after(talkMs, end)
  return talkMs
}
