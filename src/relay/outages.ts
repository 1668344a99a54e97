import type { Logger } from '../runtime/index.ts'

/** What is wrong with SQS, said once while it lasts, however many routes suffer from it. */
export function createOutages(log: Logger) {
  const suffering = new Map<string, Set<string>>()
  return {
    /** A route has this problem; what is said names the first one that had it. */
    begin(route: string, problem: string, fields: Record<string, unknown>): void {
      const routes = suffering.get(problem) ?? new Set()
      if (routes.size === 0) log.error({ route, ...fields }, problem)
      suffering.set(problem, routes.add(route))
    },
    /** The route has no problem any more. */
    end(route: string): void {
      for (const [problem, routes] of suffering)
        if (routes.delete(route) && routes.size === 0) suffering.delete(problem)
    },
  }
}

export type Outages = ReturnType<typeof createOutages>
