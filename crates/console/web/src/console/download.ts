import { language } from '../lib/i18n.svelte'
import { session } from '../lib/session.svelte'
import { Problem } from '../api/problem'

/** Saves a response as a file. A link could not carry the token. */
export async function download(path: string, name: string): Promise<Problem | undefined> {
  const { token } = session
  const headers = { Authorization: `Bearer ${token}`, 'Accept-Language': language.current }
  try {
    const response = await fetch(path, { headers })
    if (response.status === 401) session.expire(token)
    if (!response.ok) return Problem.of(response, await response.json())
    const address = URL.createObjectURL(await response.blob())
    const link = document.createElement('a')
    link.href = address
    link.download = name
    link.click()
    URL.revokeObjectURL(address)
  } catch (error) {
    return Problem.ofLostConnection(error)
  }
  return undefined
}
