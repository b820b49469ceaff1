DROP INDEX ix_stocks_available;
DROP INDEX ix_coupon_campaigns_closes;
DROP INDEX ix_coupons_campaign_state;
DROP INDEX ix_coupons_campaign;
DROP INDEX ix_order_lines_product;
DROP TABLE quarter_hour_count;
DROP TABLE quarter_hours;
DROP TABLE verifications;
