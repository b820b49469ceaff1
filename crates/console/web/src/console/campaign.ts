import { money } from '../lib/format'
import { t } from '../lib/i18n.svelte'
import type { Terms } from '../lib/money'

/** As `20 % off, at most ₩5,000`. */
export function discountText(discount: Terms): string {
  if (discount.kind === 'fixed') return t('campaign.fixed-text', { amount: money(discount.amount ?? '0') })
  const { percent = 0, cap } = discount
  return cap ? t('campaign.percent-cap-text', { percent, cap: money(cap) }) : t('campaign.percent-text', { percent })
}

export type CampaignState = 'upcoming' | 'open' | 'closed' | 'sold_out'

export function stateOf(
  campaign: { issue_opens_at: string; issue_closes_at: string; remaining: number },
  now = Date.now(),
): CampaignState {
  if (now < Date.parse(campaign.issue_opens_at)) return 'upcoming'
  if (now >= Date.parse(campaign.issue_closes_at)) return 'closed'
  return campaign.remaining > 0 ? 'open' : 'sold_out'
}
