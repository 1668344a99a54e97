import { startEnvironment, type Environment, type EnvironmentOptions, type FunctionSpec } from './environment.ts'
import { FunctionError } from './errors.ts'
import type { Answer } from './runtime-api.ts'

/** A function with as many environments as it is invoked at the same time: the one that was used last is used next. */
export type LambdaFunction = {
  readonly spec: FunctionSpec
  /** @throws FunctionError */
  invoke: (event: unknown) => Promise<Answer>
  /** How often an environment was started, and how many there are. */
  readonly seen: { coldStarts: number; environments: number }
  stop: () => Promise<void>
}

export function createLambdaFunction(spec: FunctionSpec, options: EnvironmentOptions): LambdaFunction {
  const idle: Environment[] = []
  /** Of environments that have answered. */
  const soonIdle = new Set<Promise<void>>()
  const all = new Set<Environment>()
  const seen = { coldStarts: 0, environments: 0 }
  const starting = new Set<Promise<unknown>>()
  const stopping = new AbortController()

  const end = (environment: Environment): Promise<void> => {
    all.delete(environment)
    seen.environments = all.size
    return environment.stop()
  }
  const start = async (): Promise<Environment> => {
    if (stopping.signal.aborted) throw new FunctionError('Runtime.ExitError', `${spec.name} was stopped`)
    seen.coldStarts++
    const start = startEnvironment(spec, options, stopping.signal)
    starting.add(start)
    const environment = await start.finally(() => starting.delete(start))
    all.add(environment)
    seen.environments = all.size
    return environment
  }

  const noteAnswered = (environment: Environment, answer?: Answer) => {
    // One that has ended, or ran out of time, is not used again.
    const over = environment
      .idle()
      .then(
        () => void idle.push(environment),
        () => end(environment),
      )
      .finally(() => soonIdle.delete(over))
    // Nobody knows how long a stream takes. After its end the environment is free as soon as it is frozen.
    const soon = () => all.has(environment) && void soonIdle.add(over)
    if (answer === undefined) soon()
    else answer.body.once('end', soon)
  }

  return {
    spec,
    seen,
    async invoke(event) {
      if (idle.length === 0 && soonIdle.size > 0) await Promise.race(soonIdle)
      const environment = idle.pop() ?? (await start())
      const answer = environment.invoke(event)
      answer.then(
        (answered) => noteAnswered(environment, answered),
        () => noteAnswered(environment),
      )
      return answer
    },
    async stop() {
      // One that is starting ends as well, and is waited for: its process would outlive this one.
      stopping.abort()
      await Promise.allSettled([...starting, ...[...all].map(end)])
    },
  }
}
