import { effect, signal } from '@preact/signals'

const THEMES = ['system', 'light', 'dark'] as const
type Theme = (typeof THEMES)[number]

const KEY = 'enigma-relay theme'
const isTheme = (text: string | null): text is Theme => THEMES.some((one) => one === text)

const kept = localStorage.getItem(KEY)

export const chosenTheme = signal<Theme>(isTheme(kept) ? kept : 'system')

export const nextTheme = (): void =>
  void (chosenTheme.value = THEMES[(THEMES.indexOf(chosenTheme.peek()) + 1) % THEMES.length] ?? 'system')

effect(() => {
  localStorage.setItem(KEY, chosenTheme.value)
  document.documentElement.dataset['theme'] = chosenTheme.value
})
