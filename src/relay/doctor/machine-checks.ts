import { existsSync, mkdtempSync, rmdirSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { RelayConfig } from '../config.ts'
import { fail, ok, warn, wordsOf, type Diagnosis } from './check.ts'

const OLDEST_NODE = 24

export function checkNode(version: string = process.versions.node): Diagnosis {
  return Number.parseInt(version, 10) >= OLDEST_NODE
    ? ok(`Node ${version}`)
    : fail(
        'doctor.node.too_old',
        `Node ${version} is too old: the relay needs ${OLDEST_NODE}`,
        `install Node ${OLDEST_NODE}, or run npm install --include=optional, which includes it`,
      )
}

/** The folder itself, or the nearest one above it that is there. */
function nearest(folder: string): string {
  const path = resolve(folder)
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path))
}

/** Whether the journal can be written: rights alone do not tell, so a folder is made there, and removed at once. */
export function checkFolder({ dataDir }: RelayConfig): Diagnosis {
  const there = nearest(dataDir)
  try {
    if (!statSync(there).isDirectory())
      return fail(
        'doctor.folder.not_a_folder',
        `${there} is a file, but the journal needs a folder`,
        'set ENIGMA_DATA_DIR to a folder',
      )
    rmdirSync(mkdtempSync(join(there, '.enigma-doctor-')))
  } catch (error) {
    return fail(
      'doctor.folder.not_writable',
      `${there} cannot be written: ${wordsOf(error)}`,
      `mkdir -p ${dataDir} && chown $(id -un) ${dataDir}, or set ENIGMA_DATA_DIR to another folder`,
    )
  }
  return ok(
    there === resolve(dataDir) ? `${dataDir} is writable` : `${dataDir} does not exist yet; the relay can create it`,
  )
}

/** The journal may grow to 2 GiB. Below the lower mark it has no room for a minute of a busy dialler. */
const ENOUGH_BYTES = 3 * 1024 ** 3
const LEAST_BYTES = 256 * 1024 ** 2

/** Whether the journal has room to grow. */
export async function checkDisk({ dataDir }: RelayConfig): Promise<Diagnosis> {
  const { bavail, bsize } = await statfs(nearest(dataDir))
  return judgeDisk(bavail * bsize, dataDir)
}

export function judgeDisk(free: number, dataDir: string): Diagnosis {
  const text = `${free >= 1024 ** 3 ? `${Math.floor(free / 1024 ** 3)} GiB` : `${Math.floor(free / 1024 ** 2)} MiB`} free for the journal`
  const fix = `free disk space for ${dataDir}, or set ENIGMA_DATA_DIR to a folder on another disk`
  if (free < LEAST_BYTES) return fail('doctor.disk.full', `${text}: an SQS outage would fill the disk`, fix)
  return free < ENOUGH_BYTES ? warn('doctor.disk.small', `${text}: the journal may grow to 2 GiB`, fix) : ok(text)
}
