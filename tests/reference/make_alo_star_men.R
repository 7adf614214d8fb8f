# Freeze the men of the Student Achievement and Retention project and estimatr's answers on them.
#
# Data: alo_star_men of the R package estimatr 1.0.0 (MIT; Debian: r-cran-estimatr), from Angrist, Lang, Oreopoulos
# (2009), American Economic Journal: Applied Economics 1:136. GPA of the first year on the support program offered (ssp),
# covariate: the high-school grade (gpa0). Run in this folder: Rscript make_alo_star_men.R
library(estimatr)
data(alo_star_men)
columns <- c("ssp", "gpa0", "GPA_year1")
write.csv(format(alo_star_men[, columns], digits = 15, trim = TRUE), "alo_star_men.csv", row.names = FALSE, quote = FALSE)
plain <- lm_robust(GPA_year1 ~ ssp, data = alo_star_men, se_type = "HC2")
lin <- lm_lin(GPA_year1 ~ ssp, covariates = ~gpa0, data = alo_star_men, se_type = "HC2")
answers <- data.frame(
  estimator = c("difference", "lin"),
  effect = format(c(plain$coefficients[["ssp"]], lin$coefficients[["ssp"]]), digits = 15),
  hc2_se = format(c(plain$std.error[["ssp"]], lin$std.error[["ssp"]]), digits = 15)
)
write.csv(answers, "alo_star_men_expected.csv", row.names = FALSE, quote = FALSE)
