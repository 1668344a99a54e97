import { once } from 'node:events'
import { sleep, withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { setStage } from './stage.ts'
import { LIST, type Subject } from './subject.ts'

export type KillFigures = Report & { readonly cdrs: number; readonly kills: number }

const KILLS = 5
/** The longest delay (ms) of an SQS response: without one, hardly anything is in flight when a process dies. */
const DELAY_MS = 20
const LIMIT_MS = 180_000
/** A relay that restarts without its journal waits until its previous lease expires, which takes ten seconds. */
const QUIET_MS = 15_000
const LOOK_MS = 2

/**
 * Measures losses after `kill -9`: the subject drains a list, is killed five times before the end, and is restarted each time. It is killed at
 * fixed fractions of the list, so that these points are the same for a fast subject and a slow one.
 */
export function measureKills(subject: Subject, count: number, signal: AbortSignal): Promise<KillFigures> {
  return withReleasers(async (release) => {
    const { sqs, client, start, fill, emptied } = await setStage(release, signal, DELAY_MS)
    await fill(LIST, count)
    for (let kill = 1; kill <= KILLS; kill++) {
      const { child } = await start(subject, 'list')
      const left = count * (1 - kill / (KILLS + 1))
      while ((await client.lLen(LIST)) > left) {
        await sleep(LOOK_MS, signal)
        signal.throwIfAborted()
      }
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
    await start(subject, 'list')
    await emptied(LIST, LIMIT_MS)
    await sqs.quiet(LIMIT_MS, signal, QUIET_MS)
    return { ...(await sqs.report(count)), cdrs: count, kills: KILLS }
  })
}
