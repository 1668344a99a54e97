import { withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { cpuMs, rssMb } from './processes.ts'
import { setStage } from './stage.ts'
import { LIST, type Subject } from './subject.ts'

export type DrainFigures = Report & {
  /** Notifications per second, from the first arrival to the last. */
  readonly perSecond: number
  /** User and system time per notification, without that of the start of the process. */
  readonly cpuUs: number
  readonly requestsPerNotification: number
  readonly peakRssMb: number
}

const LIMIT_MS = 180_000

/**
 * Measures how fast a subject drains a full list into SQS, which answers at once. The list is filled under another name and renamed
 * when the subject waits for it, so that neither filling nor start-up is measured.
 */
export function measureDrain(subject: Subject, count: number, signal: AbortSignal): Promise<DrainFigures> {
  return withReleasers(async (release) => {
    const { sqs, client, start, fill, emptied } = await setStage(release, signal)
    await fill('bench:full', count)
    const running = await start(subject, 'list')

    const cpuBefore = cpuMs(running)
    await client.rename('bench:full', LIST)
    await emptied(LIST, LIMIT_MS)
    await sqs.quiet(LIMIT_MS, signal)
    const cpu = cpuMs(running) - cpuBefore
    const peakRssMb = rssMb(running, 'VmHWM')
    const report = await sqs.report(count)
    return {
      ...report,
      peakRssMb,
      perSecond: (report.notifications / (report.lastMs - report.firstMs)) * 1000,
      cpuUs: (cpu * 1000) / count,
      requestsPerNotification: report.requests / report.notifications,
    }
  })
}
