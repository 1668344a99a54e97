import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import xterm, { type Terminal } from '@xterm/headless'

/**
 * `npm run recording`: draws docs/images/dev.svg, an animation of the first seconds of `npm run dev`. A terminal emulator interprets the
 * output, once a second its screen becomes a frame, and CSS moves the frames past a window. Needs `script` of util-linux, which gives the
 * program a terminal to write to.
 */

const [COLUMNS, ROWS] = [126, 30]
const SECONDS = 24
const [CHARACTER_PX, LINE_PX, MARGIN_PX] = [7.2, 16, 12]
const FILE = 'docs/images/dev.svg'

/** The eight ANSI colours on a dark background. */
const COLOURS = ['#484f58', '#ff7b72', '#3fb950', '#d29922', '#58a6ff', '#bc8cff', '#39c5cf', '#e6edf3']

const escape = (text: string) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
/** The tokens and codes work nowhere else, but a picture of a secret is a bad example. */
const conceal = (text: string) => text.replace(/\b[A-Za-z0-9_-]{30,}\b/g, (secret) => '•'.repeat(secret.length))

/** The screen as one `<text>` for each line, with a `<tspan>` for each change of style. */
function toFrame(terminal: Terminal): string {
  const { active } = terminal.buffer
  const lines: string[] = []
  for (let row = 0; row < ROWS; row++) {
    const line = active.getLine(active.viewportY + row)
    if (line === undefined) continue
    const parts: { style: string; text: string }[] = []
    for (let column = 0; column < COLUMNS; column++) {
      const cell = line.getCell(column)
      if (cell === undefined) continue
      const colour = cell.isFgPalette() ? COLOURS[cell.getFgColor() % 8] : undefined
      const style = [
        colour === undefined ? '' : ` fill="${colour}"`,
        cell.isBold() === 0 ? '' : ' font-weight="bold"',
        cell.isDim() === 0 ? '' : ' opacity="0.55"',
      ].join('')
      const last = parts.at(-1)
      if (last?.style === style) last.text += cell.getChars() || ' '
      else parts.push({ style, text: cell.getChars() || ' ' })
    }
    const text = conceal(line.translateToString(true))
    if (text === '') continue
    let at = 0
    const spans = parts.map(({ style, text: { length } }) => {
      const part = escape(text.slice(at, (at += length)))
      return style === '' || part.trim() === '' ? part : `<tspan${style}>${part}</tspan>`
    })
    lines.push(`<text y="${(row + 1) * LINE_PX}">${spans.join('').trimEnd()}</text>`)
  }
  return lines.join('')
}

/** @param frames each is shown for one second, the last for three */
function toSvg(frames: readonly string[]): string {
  const width = Math.ceil(COLUMNS * CHARACTER_PX) + 2 * MARGIN_PX
  const height = ROWS * LINE_PX + 2 * MARGIN_PX
  const seconds = frames.length + 2
  const steps = frames.map((_, at) => `${((at / seconds) * 100).toFixed(2)}%{transform:translateY(${-at * height}px)}`)
  const groups = frames.map(
    (frame, at) => `<g transform="translate(${MARGIN_PX},${at * height + MARGIN_PX - 4})">${frame}</g>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="12" fill="#c9d1d9" role="img" aria-label="npm run dev in a terminal">
<style>text{white-space:pre}.f{animation:f ${seconds}s step-end infinite}@keyframes f{${steps.join('')}}@media(prefers-reduced-motion:reduce){.f{animation:none;transform:translateY(${-(frames.length - 1) * height}px)}}</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g class="f">${groups.join('\n')}</g>
</svg>
`
}

const folder = await mkdtemp(join(tmpdir(), 'enigma-recording-'))
const terminal = new xterm.Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true })
const command = `stty cols ${COLUMNS} rows ${ROWS}; exec npm run --silent dev -- --agents 60`
const child = spawn('script', ['-qfec', command, '/dev/null'], {
  env: { ...process.env, ENIGMA_DATA_DIR: folder, TERM: 'xterm-256color' },
  stdio: ['pipe', 'pipe', 'inherit'],
})
try {
  child.stdout.on('data', (bytes: Buffer) => terminal.write(bytes))
  await new Promise((resolve) => terminal.onLineFeed(() => resolve(undefined)))
  const frames: string[] = []
  for (let second = 0; second < SECONDS; second++) {
    await sleep(1_000)
    frames.push(toFrame(terminal))
  }
  await writeFile(FILE, toSvg(frames))
  process.stdout.write(`${FILE}\n`)
} finally {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  // Ctrl-C, as a user would press it.
  child.stdin.write('\u0003')
  await ended
  await rm(folder, { recursive: true, force: true })
}
