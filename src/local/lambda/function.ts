import { startEnvironment, type Environment, type EnvironmentOptions, type FunctionSpec } from './environment.ts'
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
  const all = new Set<Environment>()
  const seen = { coldStarts: 0, environments: 0 }
  let isStopped = false

  const end = (environment: Environment): Promise<void> => {
    all.delete(environment)
    seen.environments = all.size
    return environment.stop()
  }
  const start = async (): Promise<Environment> => {
    seen.coldStarts++
    const environment = await startEnvironment(spec, options)
    all.add(environment)
    seen.environments = all.size
    if (isStopped) await end(environment)
    return environment
  }

  return {
    spec,
    seen,
    async invoke(event) {
      const environment = idle.pop() ?? (await start())
      const answer = environment.invoke(event)
      // One that has failed, or run out of time, is not used again.
      void answer.then(() => environment.idle()).then(() => idle.push(environment), () => end(environment))
      return answer
    },
    async stop() {
      isStopped = true
      await Promise.all([...all].map(end))
    },
  }
}
