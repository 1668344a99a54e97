import { onTestFinished } from 'vitest'

type Env = Readonly<Record<string, string | undefined>>

/**
 * Sets variables of this process (undefined: takes them away), and returns how to set them back. Never assigns to `process.env` itself:
 * a copy in its place would keep what is deleted from the real one, in every test that follows in this process.
 */
function setEnv(env: Env): () => void {
  const former = Object.keys(env).map((name) => [name, process.env[name]] as const)
  const set = (variables: Iterable<readonly [string, string | undefined]>) => {
    for (const [name, value] of variables)
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
  }
  set(Object.entries(env))
  return () => set(former)
}

/** These variables, until the test ends. */
export function useEnv(env: Env): void {
  onTestFinished(setEnv(env))
}

/** These variables, while it works. */
export async function withEnv<T>(env: Env, work: () => Promise<T>): Promise<T> {
  const setBack = setEnv(env)
  try {
    return await work()
  } finally {
    setBack()
  }
}
