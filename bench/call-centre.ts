import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startStreet } from '../src/local/street/street.ts'
import { createLog, type Release } from '../src/runtime/index.ts'

/** Starts the whole system in this process, on free ports, with a simulated call centre. @param speed 1: in real time */
export async function startCallCentre(release: Release, agents: number, speed = 1) {
  const folder = await mkdtemp(join(tmpdir(), 'call-centre-'))
  release(() => rm(folder, { recursive: true, force: true }))
  const { env } = process
  Object.assign(env, { ENIGMA_API: '127.0.0.1:0', ENIGMA_HTTP: '127.0.0.1:0' })
  const street = await startStreet({
    env,
    folder,
    log: createLog('error'),
    diallerPort: 0,
    callCentre: { agents, speed, seed: 1 },
  })
  release(() => street.stop())
  return street
}
