import type { Session } from '../session.ts'

export function Replays({ session: _session }: { readonly session: Session }) {
  return <p>Replays</p>
}
