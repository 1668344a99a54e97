import type { Logger } from '../../runtime/index.ts'
import type { Problem } from '../targets/target.ts'

/** Logs each problem with a target once while it lasts, however many routes it affects. */
export function createOutages(log: Logger) {
  const suffering = new Map<string, Set<string>>()
  return {
    /** Notes that a route has this problem. The log line names the first route that had it. */
    begin(route: string, { code, text }: Problem, fields: Record<string, unknown>): void {
      const routes = suffering.get(text) ?? new Set()
      if (routes.size === 0) log.error({ code, route, ...fields }, text)
      suffering.set(text, routes.add(route))
    },
    /** Notes that the route has no problem any more. */
    end(route: string): void {
      for (const [problem, routes] of suffering)
        if (routes.delete(route) && routes.size === 0) suffering.delete(problem)
    },
  }
}

export type Outages = ReturnType<typeof createOutages>
