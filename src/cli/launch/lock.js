import { linkSync, mkdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { say } from './problem.js'

const BEAT_MS = 1_000
/** A lock whose owner has not touched it for so long belongs to a process that was killed. */
const STALE_MS = 10_000

/** Runs `body` while no other launcher of this clone runs its own: both would install into the same folder. */
export async function withLock(root, body) {
  const folder = join(root, '.enigma')
  const file = join(folder, 'install.lock')
  mkdirSync(folder, { recursive: true })
  for (let said = false; !take(file); said = true) {
    if (!said) say('waiting for another enigma-relay that is installing …')
    await delay(200)
  }
  const beat = setInterval(() => touch(file), BEAT_MS)
  try {
    await body()
  } finally {
    clearInterval(beat)
    rmSync(file, { force: true })
  }
}

function take(file) {
  try {
    writeFileSync(file, `${process.pid}\n`, { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  const age = ageMs(file)
  if (age === undefined || age < STALE_MS) return false
  // Renamed and not removed: of several who find it stale, one gets it. Who gets a new one instead gives it back.
  const aside = `${file}.${process.pid}`
  try {
    renameSync(file, aside)
    if ((ageMs(aside) ?? STALE_MS) < STALE_MS) linkSync(aside, file)
  } catch {
    // Somebody else was faster.
  }
  rmSync(aside, { force: true })
  return false
}

function ageMs(file) {
  try {
    return Date.now() - statSync(file).mtimeMs
  } catch {
    return undefined
  }
}

function touch(file) {
  const now = new Date()
  try {
    utimesSync(file, now, now)
  } catch {
    // Removed by hand: the install goes on.
  }
}
