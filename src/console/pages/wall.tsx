import type { Session } from '../session.ts'

export function Wall({ session: _session }: { readonly session: Session }) {
  return <p>Wall</p>
}
