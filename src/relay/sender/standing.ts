import type { Logger } from '../../runtime/index.ts'
import type { Problem, Target } from '../targets/target.ts'
import type { Outages } from './outages.ts'

export type StandingOptions = {
  readonly routeName: string
  readonly target: Target
  readonly outages: Outages
  readonly log: Logger
  readonly now: () => number
}

/** How a route stands with its target: whether it is there, and whether it accepts messages. */
export function createStanding({ routeName, target, outages, log, now }: StandingOptions) {
  let missingSince: number | undefined
  let failingSince: number | undefined
  let problem: string | undefined
  let lastAnsweredMs: number | undefined
  return {
    /** The target cannot be found; `findQueue` logs it. */
    missing: ({ text }: Problem): void => {
      missingSince ??= now()
      problem = text
    },
    found(): void {
      missingSince = undefined
      if (failingSince === undefined) problem = undefined
    },
    /** Nothing of a request was accepted, and it was not for its content. @param words for the log line */
    failing(why: Problem, words: string): void {
      if (failingSince === undefined) outages.begin(routeName, why, { queue: target.name, error: words })
      failingSince ??= now()
      problem = why.text
    },
    /** The target answered: it accepted something, or rejected it for its content. */
    answered(): void {
      lastAnsweredMs = now()
      if (failingSince !== undefined) {
        const afterMs = now() - failingSince
        log.info(
          { code: 'relay.sqs.recovered', route: routeName, queue: target.name, afterMs },
          'SQS accepts messages again',
        )
        outages.end(routeName)
      }
      failingSince = undefined
      problem = undefined
    },
    /** Since when (ms) it accepts nothing, or is not there; undefined when all is well as far as is known. */
    get failingSince() {
      return failingSince ?? missingSince
    },
    /** What is wrong since then, and what to do about it. */
    get problem() {
      return problem
    },
    /** When (ms) it last accepted a notification, or rejected one for its content. */
    get lastAnsweredMs() {
      return lastAnsweredMs
    },
  }
}
