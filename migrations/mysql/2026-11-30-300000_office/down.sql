DROP INDEX ix_stocks_available ON stocks;
DROP INDEX ix_coupon_campaigns_closes ON coupon_campaigns;
DROP INDEX ix_coupons_campaign_state ON coupons;
DROP INDEX ix_coupons_campaign ON coupons;
DROP INDEX ix_order_lines_product ON order_lines;
DROP TABLE quarter_hour_count;
DROP TABLE quarter_hours;
DROP TABLE verifications;
