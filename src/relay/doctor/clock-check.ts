import type { SQSClient } from '@aws-sdk/client-sqs'
import { fail, ok, warn, type Finding } from './finding.ts'

/** How far (ms) this clock is ahead of SQS's; negative: behind. */
type Skew = number

/** The header has whole seconds, and an answer takes a moment: less than this (ms) says nothing. */
const WARN_MS = 60_000
/** SQS refuses a signature that is older, or younger, than this. Source: the IAM user guide, "Signing AWS API requests". */
const REFUSED_MS = 5 * 60_000

/** Reads the Date header of what SQS answers, also of errors. */
export function watchDate(sqs: SQSClient, now: () => number) {
  let skew: Skew | undefined
  // The innermost of this step: it sees the answer before anything is made of it.
  sqs.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const headers = (result.response as { headers?: Record<string, string> } | undefined)?.headers ?? {}
      const at = Date.parse(headers['date'] ?? '')
      if (!Number.isNaN(at)) skew = now() - at
      return result
    },
    { step: 'deserialize', priority: 'low', name: 'watchDate' },
  )
  return { last: (): Skew | undefined => skew }
}

/** Whether this machine's clock is near SQS's: ids and times come from it, and SQS refuses signatures of another time. */
export function checkClock(skew: Skew | undefined): Finding[] {
  const check = 'sqs/clock'
  if (skew === undefined)
    return [warn(check, 'doctor.clock.unknown', 'the clock could not be checked: the response of SQS has no date')]
  const seconds = Math.round(Math.abs(skew) / 1000)
  const text = `this clock is ${seconds} s ${skew < 0 ? 'behind' : 'ahead of'} SQS's`
  const fix = 'timedatectl set-ntp true'
  if (Math.abs(skew) > REFUSED_MS)
    return [fail(check, 'doctor.clock.refused', `${text}: SQS rejects requests signed with it`, fix)]
  if (Math.abs(skew) > WARN_MS)
    return [warn(check, 'doctor.clock.off', `${text}: times and ages are off by that much`, fix)]
  return [ok(check, seconds <= 1 ? "this clock agrees with SQS's" : text)]
}
